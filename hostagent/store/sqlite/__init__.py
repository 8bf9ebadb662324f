"""The embedded engine: one host, one SQLite file on a local disk."""
