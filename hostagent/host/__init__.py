"""This machine: identity, clocks, paths. Reads the kernel, decides nothing."""
