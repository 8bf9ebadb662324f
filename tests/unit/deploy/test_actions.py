"""What an apply has to do, decided from what stands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.deploy.actions import Actions, Facts, decide, is_persistent, timer_section
from hostagent.deploy.disk import Found, Kind, file_of
from hostagent.deploy.generations import Generation
from hostagent.model import Form, Job, Missed, Schedule
from tests.unit.deploy.builders import facts, generation, job, on_disk

TARGET = "timers.target"


def decided(found: Facts, new: Generation) -> Actions:
    """``decide`` for a generation."""
    return decide(found, new.manifest, new.files)


def test_a_first_apply_writes_links_and_starts_everything() -> None:
    """Nothing stands: all files, all links, one reload, all timers, nothing to stop or forget."""
    new = generation(job("a"), job("b", for_each=("eu", "us")))
    actions = decided(facts(), new)
    assert set(actions.write) == set(new.files)
    assert actions.enable == new.manifest.wants
    assert set(actions.start) == {
        "hostagent-a.timer",
        "hostagent-b@eu.timer",
        "hostagent-b@us.timer",
    }
    assert actions.reload
    assert actions.stop == actions.forget == actions.remove == ()


def test_nothing_is_done_where_nothing_differs() -> None:
    """Level-triggered: what stands is what is wanted, so the actions are empty."""
    new = generation(job("a"), job("b", missed=Missed.SKIP))
    assert decided(facts(new), new) == Actions()
    assert decided(facts(new), new).is_empty


def test_a_timer_with_the_same_timer_section_goes_on() -> None:
    """A new description is in the [Unit] section: written and reloaded, the timer undisturbed."""
    old = generation(job("a"))
    new = generation(job("a", schedule=replace(job("a").schedule, text="daily at three")))
    actions = decided(facts(old), new)
    assert actions.write == ("hostagent-a.timer",)
    assert actions.reload
    assert actions.stop == actions.start == ()


@pytest.mark.parametrize(
    ("missed", "forget"), [(Missed.LATEST, ()), (Missed.SKIP, ("hostagent-a.timer",))]
)
def test_a_changed_timer_is_stopped_and_started(missed: Missed, forget: tuple[str, ...]) -> None:
    """One without a stamp file is also to be forgotten: else PID 1 fires it at once."""
    old = generation(job("a", missed=missed))
    new = generation(job("a", "hourly", missed=missed))
    actions = decided(facts(old), new)
    assert actions.stop == actions.start == ("hostagent-a.timer",)
    assert actions.forget == forget


def test_a_removed_job_is_stopped_unlinked_and_pruned() -> None:
    """Its timer stops, its link and its two files go, its failure is forgotten."""
    old, new = generation(job("a"), job("b")), generation(job("b"))
    actions = decided(facts(old), new)
    assert actions.stop == actions.gone == ("hostagent-a.timer",)
    assert actions.disable == (("hostagent-a.timer", TARGET),)
    assert actions.remove == ("hostagent-a.service", "hostagent-a.timer")
    assert actions.retire == ("hostagent-a.service",)
    assert actions.write == actions.start == ()


def test_only_marked_files_of_a_manifest_are_removed() -> None:
    """A file that lost our marker, or became a link, is left and named."""
    old, new = generation(job("a"), job("b")), generation(job("b"))
    files = on_disk(old) | {
        "hostagent-a.service": Found(Kind.FILE, b"[Service]\n"),
        "hostagent-a.timer": Found(Kind.OTHER),
    }
    actions = decided(facts(old, files=files), new)
    assert actions.remove == ()
    assert actions.left == (
        ("hostagent-a.service", "not ours any more"),
        ("hostagent-a.timer", "not ours any more"),
    )


def test_a_file_that_no_manifest_names_is_foreign_marker_or_not() -> None:
    """Overwriting needs both: a manifest that names the file and the marker in it."""
    new = generation(job("a"))
    marked = Found(Kind.FILE, b"[Unit]\nX-Hostagent=a\n")
    assert decided(facts(files={"hostagent-a.timer": marked}), new).foreign == (
        "hostagent-a.timer",
    )
    unmarked = on_disk(new) | {"hostagent-a.timer": Found(Kind.FILE, b"[Timer]\n")}
    assert decided(facts(new, files=unmarked), new).foreign == ("hostagent-a.timer",)


def test_a_foreign_file_with_our_very_bytes_is_adopted() -> None:
    """Nothing would be overwritten, so nothing is in the way (a restored backup of /etc)."""
    new = generation(job("a"))
    assert decided(facts(files=on_disk(new)), new).foreign == ()


def test_a_masked_unit_is_left_and_its_timer_not_started() -> None:
    """Neither replaced nor armed."""
    old = generation(job("a"))
    files = on_disk(old) | {"hostagent-a.timer": Found(Kind.MASK)}
    actions = decided(facts(old, files=files, loaded={}), old)
    assert actions.left == (("hostagent-a.timer", "masked"),)
    assert actions.write == actions.start == actions.foreign == ()


def test_drift_is_repaired_and_said() -> None:
    """Edited, missing, disabled and stopped, each under its name."""
    old = generation(job("a"), job("b"), job("c"), job("d"))
    files = on_disk(old)
    files["hostagent-a.service"] = Found(Kind.FILE, files["hostagent-a.service"].data + b"#\n")
    del files["hostagent-b.service"]
    wants = set(old.manifest.wants) - {("hostagent-c.timer", TARGET)}
    loaded = {f"hostagent-{name}.timer": "active" for name in "abc"}
    actions = decided(
        facts(old, files=files, wants=wants, loaded=loaded | {"hostagent-d.timer": "inactive"}), old
    )
    assert actions.repaired == (
        ("hostagent-a.service", "edited"),
        ("hostagent-b.service", "missing"),
        ("hostagent-c.timer", "disabled"),
        ("hostagent-d.timer", "not active"),
    )
    assert actions.start == ("hostagent-d.timer",)


def test_an_image_has_no_timers_to_arm() -> None:
    """Without a PID 1 there are files and links only."""
    new = generation(job("a"))
    actions = decided(replace(facts(), loaded=None), new)
    assert actions.write
    assert actions.enable
    assert actions.stop == actions.start == actions.forget == ()


def test_after_an_interrupted_apply_what_pid_1_loaded_is_not_trusted() -> None:
    """Files may be new while PID 1 has the old ones: reload, and re-arm what differs."""
    old = generation(job("a"), job("same"))
    new = generation(job("a", "hourly"), job("same"), number=2)
    actions = decided(facts(old, begun=[new.manifest], files=on_disk(old, new)), new)
    assert actions.write == ()
    assert actions.reload
    assert actions.stop == actions.start == ("hostagent-a.timer",)
    back = decided(facts(old, begun=[new.manifest]), old)
    assert back.reload
    assert back.start == ("hostagent-a.timer",)


def test_files_of_an_interrupted_apply_are_ours() -> None:
    """What the unfinished generation wrote is removed when the next one does not want it."""
    old = generation(job("a"))
    half = generation(job("a"), job("b"), number=2)
    actions = decided(facts(old, begun=[half.manifest], files=on_disk(old, half)), old)
    assert actions.remove == ("hostagent-b.service", "hostagent-b.timer")
    assert actions.foreign == ()


NAMES = "abcd"
jobs = st.builds(
    job,
    st.sampled_from(NAMES),
    st.sampled_from(["daily", "hourly"]),
    missed=st.sampled_from([Missed.LATEST, Missed.SKIP]),
    for_each=st.sampled_from([(), ("eu",), ("eu", "us")]),
)
specs = st.lists(jobs, unique_by=lambda item: item.name, max_size=4)


def carried_out(found: Facts, new: Generation, actions: Actions) -> Facts:
    """What stands after the actions."""
    assert found.loaded is not None
    files = dict(found.files) | {
        name: Found(Kind.FILE, new.files[name].encode()) for name in actions.write
    }
    files = {name: what for name, what in files.items() if name not in actions.remove}
    wants = (found.wants | set(actions.enable)) - set(actions.disable)
    loaded = {timer: state for timer, state in found.loaded.items() if timer not in actions.stop}
    loaded |= dict.fromkeys(actions.start, "active")
    return Facts(new.manifest, (), files, wants, loaded)


@given(old=specs, half=specs, new=specs)
def test_actions_make_what_stands_what_is_wanted(
    old: list[Job], half: list[Job], new: list[Job]
) -> None:
    """From any deployed state, with or without an interrupted apply: exactly the new one stands."""
    before, begun, wanted = generation(*old), generation(*half, number=2), generation(*new)
    found = facts(before, begun=[begun.manifest] if half else (), files=on_disk(before, begun))
    after = carried_out(found, wanted, decided(found, wanted))
    assert after.files == on_disk(wanted)
    assert after.wants == set(wanted.manifest.wants)
    assert after.loaded is not None
    assert set(after.loaded) == {unit.timer for unit in wanted.manifest.units}
    assert decided(after, wanted) == Actions()


@given(old=specs, new=specs)
def test_a_timer_whose_text_changes_never_stays_armed_over_the_reload(
    old: list[Job], new: list[Job]
) -> None:
    """Promise 5: what was running and elapses otherwise is stopped; without a stamp, forgotten."""
    before, wanted = generation(*old), generation(*new)
    actions = decided(facts(before), wanted)
    running = {unit.timer for unit in before.manifest.units if unit.timer}
    for timer in running & {unit.timer for unit in wanted.manifest.units if unit.timer}:
        was, will = before.files[file_of(timer)], wanted.files[file_of(timer)]
        is_changed = timer_section(was) != timer_section(will)
        assert (timer in actions.stop) == (timer in actions.start) == is_changed
        assert (timer in actions.forget) == (is_changed and not is_persistent(will))


def test_on_boot_jobs_have_no_timer_to_start() -> None:
    """The agent starts them at boot; apply never does."""
    new = generation(job("a", schedule=Schedule(Form.ON_BOOT, "")))
    actions = decided(facts(), new)
    assert actions.start == ()
    assert actions.enable == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Unit]\nA=1\n\n[Timer]\n# why\nOnCalendar=x\n\n[Install]\nB=2\n", "OnCalendar=x"),
        ("[Unit]\nA=1\n", ""),
        ("[Unit]\n[Timer]\nPersistent=yes\n", "Persistent=yes"),
    ],
)
def test_the_timer_section_is_all_that_decides_when_it_elapses(text: str, expected: str) -> None:
    """Comments and other sections do not count."""
    assert timer_section(text) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Persistent=yes", True),
        ("Persistent=no", False),
        ("Persistent=no\nPersistent=true", True),
        ("Persistent=yes\nPersistent=0", False),
        ("OnCalendar=daily", False),
    ],
)
def test_the_last_persistent_counts(lines: str, expected: bool) -> None:
    """As systemd reads it; a passed-through directive may come later."""
    assert is_persistent(f"[Unit]\n[Timer]\n{lines}\n") is expected


@pytest.mark.parametrize(
    ("unit", "file"),
    [
        ("hostagent-a.timer", "hostagent-a.timer"),
        ("hostagent-a@eu.timer", "hostagent-a@.timer"),
        ("hostagent-a.b@x.y.service", "hostagent-a.b@.service"),
    ],
)
def test_an_instance_is_defined_by_its_template(unit: str, file: str) -> None:
    """Job names and scopes may hold dots."""
    assert file_of(unit) == file
