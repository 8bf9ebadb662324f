"""All SQL of the store, once for every engine that speaks it; an engine adds its connection.

The statements keep to what SQLite 3.34 and PostgreSQL both understand. Where the two differ, the
difference is in ``database``, or in the engine's own package, never in an ``if`` here.
"""
