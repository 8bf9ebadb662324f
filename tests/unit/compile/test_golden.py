"""Golden units: jobs.toml beside the units it must become, for several targets.

``tests/golden/units/CASE/jobs.toml`` and, for each target (``252``, ``262-user``), a directory of
unit files and NOTES. Compared as parsed sections, so that a comment may change freely. To accept
what compile makes now: ``HOSTAGENT_UPDATE_GOLDEN=1 pytest tests/unit/compile/test_golden.py``,
then read the diff.
"""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path

import pytest

from hostagent.compile.draft import Target
from hostagent.compile.units import compile_spec
from hostagent.spec.load import load
from tests.unit.compile.builders import sections

CASES = Path(__file__).parents[2] / "golden" / "units"
TARGETS = {
    "252": Target(252, "web1"),
    "257": Target(257, "web1"),
    "262": Target(262, "web1"),
    "262-user": Target(262, "web1", user=True),
}
UPDATE = bool(os.environ.get("HOSTAGENT_UPDATE_GOLDEN"))


def cases() -> list[str]:
    """The names of all cases."""
    return sorted(place.parent.name for place in CASES.glob("*/jobs.toml"))


def made(case: str, target: str) -> dict[str, str]:
    """What compile makes of a case: unit files, and NOTES when there are any."""
    spec = load(CASES / case / "jobs.toml", check_host=False).spec
    compiled = compile_spec(spec, TARGETS[target])
    notes = "".join(f"job {note.job}: {note.directive}=: {note.text}\n" for note in compiled.notes)
    return compiled.files | ({"NOTES": notes} if notes else {})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", cases())
def test_units_are_the_golden_ones(case: str, target: str) -> None:
    """No change of a unit goes unseen: what is deployed everywhere is reviewed as text."""
    place = CASES / case / target
    new = made(case, target)
    if UPDATE:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name, text in new.items():
            (place / name).write_text(text, encoding="utf-8")
    old = {file.name: file.read_text(encoding="utf-8") for file in sorted(place.iterdir())}
    assert list(old) == sorted(new), "the set of files"
    changed = [name for name in old if not is_same(name, old[name], new[name])]
    assert not changed, "\n".join(difference(name, old[name], new[name]) for name in changed)


def is_same(name: str, old: str, new: str) -> bool:
    """Whether systemd would see no difference."""
    return old == new if name == "NOTES" else sections(old) == sections(new)


def difference(name: str, old: str, new: str) -> str:
    """The unified diff that a person reads."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"golden/{name}", f"made/{name}", lineterm=""
    )
    return "\n".join(lines)


def test_there_are_golden_cases() -> None:
    """A moved directory would otherwise pass for want of anything to compare."""
    assert len(cases()) >= 6
