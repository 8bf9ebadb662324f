"""What an agent is told of drift: one line, of what nobody meant, once no apply is at work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hostagent.deploy import generations
from hostagent.deploy.drift import Drift, What
from hostagent.deploy.drifted import TRIES, in_words, settled
from hostagent.host import paths as places
from hostagent.host.paths import Paths

EDITED = Drift("hostagent-a.service", What.EDITED, "/x", "", True)
MASKED = Drift("hostagent-b.timer", What.MASKED, "/x", "", False)
MEANT = Drift("hostagent-a.service", What.DROP_IN, "/x", "", False)
CUT_SHORT = Drift("", What.INTERRUPTED, "/x", "", True)


def test_the_first_is_named_and_the_others_are_counted() -> None:
    """A drop-in is how a person overrides a unit: nobody is told of that."""
    assert in_words([]) == in_words([MEANT]) == ""
    assert in_words([MEANT, EDITED]) == "hostagent-a.service is edited"
    assert in_words([EDITED, MASKED]) == "hostagent-a.service is edited, and 1 more"
    assert in_words([CUT_SHORT]) == "the last apply is interrupted"


@dataclass
class Story:
    """What each look finds, and what an apply beside it does before the next."""

    paths: Paths
    finds: list[list[Drift]]
    looks: int = 0
    pauses: int = 0
    during: dict[int, int] = field(default_factory=dict)

    def look(self) -> list[Drift]:
        self.looks += 1
        if self.looks in self.during:
            at(self.paths, self.during[self.looks])
        return self.finds[min(self.looks, len(self.finds)) - 1]

    def pause(self) -> None:
        self.pauses += 1

    def settled(self) -> list[Drift]:
        return settled(self.paths, self.look, self.pause)


def at(paths: Paths, number: int) -> None:
    """That generation is in force."""
    link = paths.generations / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(str(number))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Of a host on which something was deployed."""
    found = places.system(tmp_path)
    found.generations.mkdir(parents=True)
    at(found, 1)
    return found


def test_what_is_found_at_rest_is_said_at_once(paths: Paths) -> None:
    """One look."""
    story = Story(paths, [[EDITED]])
    assert (story.settled(), story.looks, story.pauses) == ([EDITED], 1, 0)


def test_where_nothing_is_deployed_nothing_differs(tmp_path: Path) -> None:
    """Nor is it looked for."""
    story = Story(places.system(tmp_path), [[EDITED]])
    assert (story.settled(), story.looks, story.pauses) == ([], 0, 0)


def test_an_apply_at_work_is_waited_for(paths: Paths) -> None:
    """What it has half done is no drift, whether it began before the look or meanwhile."""
    begun = Story(paths, [[CUT_SHORT, EDITED], []])
    assert (begun.settled(), begun.pauses) == ([], 1)
    meanwhile = Story(paths, [[EDITED], []], during={1: 2})
    assert (meanwhile.settled(), meanwhile.pauses) == ([], 1)


def test_an_apply_that_was_cut_short_is_told(paths: Paths) -> None:
    """Once it has had its time."""
    generations.begin(paths, 2)
    story = Story(paths, [[CUT_SHORT, EDITED]])
    assert in_words(story.settled()) == "the last apply is interrupted, and 1 more"
    assert story.looks == TRIES
