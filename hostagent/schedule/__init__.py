"""Time mathematics: occurrences, jitter, spans. Pure: the time is always an argument."""
