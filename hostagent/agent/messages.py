"""The agent's journal records: one sentence for people, fields and ids for machines.

The ids are explained by the catalog (units/hostagent.catalog), which ``journalctl -x`` shows.
"""

from __future__ import annotations

from hostagent.model import Alarm, Outcome, Run

READY = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c01"
SUCCEEDED = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c02"
FAILED = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c03"
SKIPPED = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c04"
TURNED_AWAY = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c05"
SECOND_CLOCK = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c06"
QUARANTINED = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c07"
HUNG = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c08"
MOVES_ON = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c09"
ALARM = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c0a"
NOT_TOLD = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c0b"

OUTCOMES = {
    Outcome.SUCCEEDED: (SUCCEEDED, 6),
    Outcome.FAILED: (FAILED, 4),
    Outcome.SKIPPED: (SKIPPED, 5),
    Outcome.ABANDONED: (SKIPPED, 4),
    Outcome.QUARANTINED: (FAILED, 3),
}
"""Message id and syslog priority of a final record."""


def fields_of(run: Run, unit: str) -> dict[str, str]:
    """The structured fields that every record about a run carries."""
    fields = {
        "HOSTAGENT_JOB": run.job,
        "HOSTAGENT_RUN_ID": run.run_id,
        "HOSTAGENT_ATTEMPT": str(run.attempt),
        "HOSTAGENT_TOKEN": str(run.token),
        "OBJECT_SYSTEMD_UNIT": unit,
    }
    if run.scope:
        fields["HOSTAGENT_SCOPE"] = run.scope
    if run.invocation_id:
        fields["OBJECT_SYSTEMD_INVOCATION_ID"] = run.invocation_id
    return fields


def outcome_fields(outcome: Outcome) -> dict[str, str]:
    """What a final record adds."""
    message_id, priority = OUTCOMES[outcome]
    return {
        "HOSTAGENT_OUTCOME": str(outcome),
        "MESSAGE_ID": message_id,
        "PRIORITY": str(priority),
    }


def alarm_fields(alarm: Alarm, message_id: str) -> dict[str, str]:
    """What a record about an alarm carries."""
    is_over = alarm.over_at is not None
    fields = {
        "HOSTAGENT_ALARM": "recovered" if is_over else alarm.kind,
        "MESSAGE_ID": message_id,
        "PRIORITY": "5" if is_over else "4",
    }
    fields |= {"HOSTAGENT_JOB": alarm.job} if alarm.job else {}
    return fields | ({"HOSTAGENT_SCOPE": alarm.scope} if alarm.scope else {})
