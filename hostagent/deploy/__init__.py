"""plan, apply, drift, rollback: what compile made, onto this host."""
