"""plan, apply, drift, rollback: what compile made, onto this host.

``plan`` says what would change, for people. ``actions`` decides what an apply has to do from what
was deployed, what is wanted and what is found on disk and in PID 1; ``apply`` does it. Nothing
here knows how a job becomes a unit, and nothing outside writes unit files.
"""
