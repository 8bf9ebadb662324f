"""Templates of what webhooks get (hostagent.body)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from hostagent.body import FIELDS, JSON, TEXT, BodyError, check, kind_of, render
from hostagent.model import Alarm
from hostagent.policy.alarms import message

ALARM = Alarm("backup", "eu", "failed", datetime(2026, 11, 21, tzinfo=UTC), 'said "no"\n')


def test_a_template_can_use_all_that_a_message_holds() -> None:
    """The fields are those of a message, and no other."""
    assert set(message(ALARM)) == {*FIELDS}
    every = json.dumps(dict.fromkeys(FIELDS, "?"))
    for name in FIELDS:
        every = every.replace('"?"', f"{{{{ {name} | tojson }}}}", 1)
    check(every)
    assert json.loads(render(every, message(ALARM))) == message(ALARM)


@pytest.mark.parametrize(
    "template",
    [
        '{"text": {{ text | tojson }}}',
        "[{{ text | tojson }}]",
        '{"content": {{ (job ~ ": " ~ reason)[:2000] | tojson }}}',
        "{% if was %}over{% else %}{{ alarm | upper }}{% endif %}: {{ text }}",
        '{"color": "{% if was %}good{% else %}danger{% endif %}"}',
        "[{{ alarm }}] {{ text }}",
        "",
    ],
)
def test_what_every_message_can_be_told_by_is_taken(template: str) -> None:
    """JSON or text, with or without conditions."""
    check(template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"text": "{{ text }}"}', "only until a message holds a quote"),
        ("{{ text | shout }}", "line 1 of it: No filter named 'shout'"),
        ("{% if false %}{{ host }}{% endif %}", "no message holds host"),
        ("{% include 'x' %}", "TypeError: no loader"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ text.format.__globals__ }}", "unsafe"),
        ("{% for x in range(1000000) %}{% endfor %}", "OverflowError: Range too big"),
        ("{\n{{ text", "line 2 of it"),
    ],
)
def test_what_some_message_could_not_be_told_by_is_refused(template: str, said: str) -> None:
    """When it is read, and not when there is something to tell."""
    with pytest.raises(BodyError, match=said):
        check(template)


@pytest.mark.parametrize(
    ("body", "kind"),
    [("{}", JSON), (" [1] ", JSON), ("5", TEXT), ('"a"', TEXT), ("{", TEXT), ("", TEXT)],
)
def test_an_object_or_an_array_is_json(body: str, kind: str) -> None:
    """Anything else is text, as ntfy and its like take it."""
    assert kind_of(body) == kind
