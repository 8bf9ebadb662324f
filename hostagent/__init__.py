"""hostagent: periodic jobs as systemd units, run once in the cluster, caught up without a storm.

PID 1 runs the jobs; hostagent only decides. The rooms of the house, each importing only
rooms below it: ``cli``; ``agent``, ``deploy``, ``report``; ``store``, ``systemd``, ``host``;
``compile``, ``policy``; ``schedule``, ``spec``; ``model``; ``errors``.
"""

__version__ = "0.1.0"
