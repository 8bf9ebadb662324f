"""PID 1 and the journal. The only package that imports pystemd."""
