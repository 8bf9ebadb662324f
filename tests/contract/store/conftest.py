"""The engines that the suite runs over: one line each; no test of the suite knows their insides."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostagent.store.open import open_store
from hostagent.store.port import Session, Store
from tests.contract.store.builders import T0, job
from tests.contract.store.postgres import SERVER, needs_postgres
from tests.contract.store.volumes import mounted

MEMORY = Path("/dev/shm")  # an fsync costs nothing here


@dataclass(frozen=True)
class Engine:
    """An engine: the URL of a new, empty store in a directory of its own."""

    name: str
    url: Callable[[Path], str]


ENGINES = [
    pytest.param(Engine("sqlite", lambda place: f"sqlite://{place}/state.db"), id="sqlite"),
    pytest.param(Engine("postgres", lambda _: SERVER.url()), id="postgres", marks=needs_postgres),
    pytest.param(Engine("dir", lambda place: f"dir://{place}"), id="dir"),
]


@pytest.fixture(scope="session", autouse=True)
def servers() -> Iterator[None]:
    """Stopped in the end, if they were started."""
    yield
    SERVER.stop()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    chosen: Engine = request.param
    return chosen


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def volume(place: Path) -> Iterator[Path]:
    """A file system of 3 MB. Needs root."""
    with mounted(place / "volume") as at:
        yield at


@pytest.fixture
def url(engine: Engine, place: Path) -> str:
    """A new, empty store."""
    return engine.url(place)


@pytest.fixture
def again(url: str) -> Iterator[Callable[[], Store]]:
    """``again()`` opens the same store once more; closed when the test ends."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(open_store(url)))


@pytest.fixture
def store(again: Callable[[], Store]) -> Store:
    """The store, with the jobs ``a`` and ``b`` registered at ``T0``."""
    store = again()
    store.register([job("a"), job("b")], [], T0)
    return store


@pytest.fixture
def session(store: Store) -> Session:
    """An open session."""
    return store.open_session("one", "boot-1")
