"""The fixtures ``machine`` (Debian 12) and ``any_machine`` (each release): a fresh boot per test.

A boot takes a third of a second, so no state is ever carried from one test to the next. What is
made once per session is the root of each release (``images.py``) and the layer with the
checkout's code (``layer.py``).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machine import images, layer
from tests.machine.cluster import Cluster
from tests.machine.machine import Machine

PROGRAMS = ("ip", "mmdebstrap", "systemd-nspawn", "nsenter", "unshare")
JOURNAL_TAIL = 60

Boot = Callable[..., Machine]
NewCluster = Callable[..., Cluster]
failed = pytest.StashKey[bool]()


BOOTING = {"machine", "any_machine", "boot", "roots", "new_cluster", "vm", "new_vm"}
"""Fixtures that boot something: what such a test sees depends on the load around it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that boot something are tried up to three times; pytest counts the reruns.

    A real defect fails all three. A host whose two cores were busy elsewhere for some seconds
    does not fail the whole suite (docs/decisions/0204-reruns.md). Those marked ``one_try`` look
    for what shows once in many runs: a second try would hide it.
    """
    for item in items:
        is_booting = BOOTING & set(getattr(item, "fixturenames", ()))
        if is_booting and not item.get_closest_marker("one_try"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the fixtures whether their test failed."""
    report = yield
    if report.failed:
        item.stash[failed] = True
    return report


class Roots:
    """The lower directories of a machine per release; built when first asked for."""

    def __init__(self, place: Path, config: pytest.Config) -> None:
        self._place = place
        self._config = config
        self._lower: dict[str, list[Path]] = {}
        self._failed: dict[str, images.BuildError] = {}

    def __getitem__(self, release: str) -> list[Path]:
        """The layer with the project's code, and the cached root (a release or a variant).

        Raises:
            BuildError: the root could not be built, now or when it was asked for before.
        """
        if release in self._failed:
            raise self._failed[release]
        if release not in self._lower:
            try:
                root = self._build(release)
            except images.BuildError as error:
                self._failed[release] = error
                raise
            self._lower[release] = [layer.lay(root, self._place / release), root]
        return self._lower[release]

    def _build(self, release: str) -> Path:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():  # a build takes minutes and says so
            return images.root(release)


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Roots:
    """Roots to boot machines from; skips (fails in CI) where no machine can be booted."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    reason = f"not found: {', '.join(missing)}" if missing else ""
    if os.geteuid() != 0:
        reason = "container machines need root"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return Roots(tmp_path_factory.mktemp("layers"), pytestconfig)


@pytest.fixture
def boot(roots: Roots, request: pytest.FixtureRequest) -> Iterator[Boot]:
    """``boot(release="bookworm", name=None)``: another fresh machine, closed after the test.

    When the test fails, the end of each machine's journal is attached to its report.
    """
    machines: list[Machine] = []

    def boot_one(release: str = "bookworm", name: str | None = None) -> Machine:
        stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
        machines.append(Machine(name or f"{stem}-{len(machines)}", roots[release]))
        return machines[-1]

    yield boot_one
    for machine in machines:
        if request.node.stash.get(failed, False):
            title = f"journal of {machine.name}"
            request.node.add_report_section("teardown", title, machine.last_words(JOURNAL_TAIL))
        machine.close()


@pytest.fixture
def new_cluster(roots: Roots, request: pytest.FixtureRequest) -> Iterator[NewCluster]:
    """``new_cluster(hosts=3, **options)``: a cluster as ``Cluster`` has it, closed after the test.

    When the test fails, what was done to it and the end of each journal are attached.
    """
    clusters: list[Cluster] = []

    def one(hosts: int = 3, **options: Any) -> Cluster:
        clusters.append(Cluster(roots, hosts, **options))
        return clusters[-1]

    yield one
    for cluster in clusters:
        if request.node.stash.get(failed, False):
            for title, text in cluster.last_words(JOURNAL_TAIL):
                request.node.add_report_section("teardown", title, text)
        cluster.close()


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """A fresh Debian 12 (systemd 252), up."""
    return boot("bookworm")


@pytest.fixture(params=list(images.RELEASES))
def any_machine(boot: Boot, request: pytest.FixtureRequest) -> Machine:
    """A fresh machine of each release: systemd 252, 257, 262."""
    return boot(request.param)
