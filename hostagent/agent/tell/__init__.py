"""Being told: what is wrong with jobs and hosts, seen by any live agent and told once.

``alarms`` and ``reach`` look, ``policy`` decides, an ``outbox`` keeps what stands in a ledger, and
``telling`` hands it to those who are to be told; ``news`` is what is told of each run. ``deliver``,
``ping`` and ``deploy.drifted`` are programs beside the agent, which has no network.
"""
