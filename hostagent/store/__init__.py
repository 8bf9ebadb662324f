"""The store's port and its engines. Knows nothing of schedules, systemd or policy."""
