"""The daemon. wiring.py is the one composition root; decisions are policy's."""
