"""A simulated host that comes back after an outage and owes dozens of runs, under many policies.

The gate's own functions (``hostagent.policy.gate``) are what is simulated, not a copy of them.
"""
