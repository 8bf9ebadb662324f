"""Storms in VMs: a real kernel after a real power cut, hostagent unconfigured beside its rivals.

A *cell* is an arm (who pays the backlog), a scenario (what is owed) and an amount of swap; one cell
is one VM. ``scenarios``, ``figures``, ``report`` and ``plot`` are pure; ``cell`` boots the VM, with
the means of vm-tests; ``job`` and ``observer`` run in it.
"""
