"""What the administrator writes: schema, loading, lint. Reads files, asks nothing of the system."""
