"""A job becomes the text of its units. Pure: no files are read or written (but the templates)."""
