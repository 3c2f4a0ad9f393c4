"""The hunt, a plugin of pytest.

Each test is run once to see which places in the scripts it reaches; then, with one mutant at a time, those that reach
its place, the quickest first, until one fails.
"""

import re
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, cast

import pytest
from _pytest.runner import runtestprotocol

from gopher.queue import scripts
from gopher.server.embedded import EmbeddedServer
from tests.invariants.lab import lab_script
from tests.lua.lab import clocked
from tests.mutants.generate import Edit, Mutant, Place, changed, original

#: Seconds that a test may take with a mutant, and how many times as long as without: one that hangs is noticed too.
PATIENCE, TIMES_AS_LONG = 20, 20
PATIENCE_WITHOUT = 600
_NOTE = re.compile(rb"place (\d+)\.")


class Outcome(NamedTuple):
    mutant: Mutant
    #: The test that failed; '' for none.
    caught_by: str
    #: How many tests were run.
    tests: int


class Hunt:
    """A plugin of pytest: the tests that are collected are its hunters."""

    def __init__(self, mutants: Sequence[Mutant], tell: Callable[[str], None] = lambda _: None) -> None:
        self._mutants = mutants
        self._tell = tell
        self._servers: list[EmbeddedServer] = []
        self._read: dict[Path, int] = {}
        self._seconds: dict[str, float] = {}
        self.outcomes: list[Outcome] = []
        #: Tests that failed without a mutant.
        self.broken: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        # It brings hypothesis, which is a plugin of pytest as well: that must be the first to import it.
        from tests.invariants import hunting

        items = [item for item in session.items if "test_all_scripts" not in item.nodeid]
        with _noted(self._servers), pytest.MonkeyPatch.context() as patch:
            patch.setattr(hunting, "QUICK", hunting.HUNT)
            hunters = self._who_reaches(items)
            if not self.broken:
                for mutant in self._mutants:
                    self._hunt(mutant, hunters[mutant.place])
        return True

    def _who_reaches(self, items: Sequence[pytest.Item]) -> Mapping[Place, list[pytest.Item]]:
        places = list(dict.fromkeys(mutant.place for mutant in self._mutants))
        traces: defaultdict[str, list[Edit]] = defaultdict(list)
        for number, place in enumerate(places):
            traces[place.text] += place.traced(number)
        reached: defaultdict[Place, list[pytest.Item]] = defaultdict(list)
        with planted({text: changed(text, *edits) for text, edits in traces.items()}):
            for at, item in enumerate(items):
                if not _passes(item, PATIENCE_WITHOUT):
                    self.broken.append(item.nodeid)
                for number in self._notes():
                    reached[places[number]].append(item)
                self._tell(f"{at + 1} of {len(items)} tests")
        with planted({}):
            # A test that fails whenever it is run a second time would seem to catch all mutants.
            for item in items:
                began = time.monotonic()
                if not _passes(item, PATIENCE_WITHOUT):
                    self.broken.append(f"{item.nodeid} (the second time)")
                self._seconds[item.nodeid] = time.monotonic() - began
        for hunters in reached.values():
            # Those of one folder share a server, which is stopped when a test of another folder comes.
            hunters.sort(key=lambda item: (item.path.parent.name != "lua", self._seconds[item.nodeid]))
        return reached

    def _notes(self) -> Collection[int]:
        """Return the numbers of the places that were reached since the last call."""
        found: set[int] = set()
        for server in self._servers:
            log = server.log_path
            if not log.exists():
                continue
            with log.open("rb") as file:
                file.seek(self._read.get(log, 0))
                found |= {int(number) for number in _NOTE.findall(file.read())}
                self._read[log] = file.tell()
        return found

    def _hunt(self, mutant: Mutant, hunters: Sequence[pytest.Item]) -> None:
        tried, caught_by = 0, ""
        with planted({mutant.text: changed(mutant.text, *mutant.edits)}):
            for item in hunters:
                tried += 1
                if not _passes(item, PATIENCE + TIMES_AS_LONG * self._seconds[item.nodeid]):
                    caught_by = item.nodeid
                    break
        self.outcomes.append(Outcome(mutant, caught_by, tried))
        self._tell(f"{len(self.outcomes)} of {len(self._mutants)} mutants, {self.missed()} missed")

    def missed(self) -> int:
        return sum(not outcome.caught_by for outcome in self.outcomes)


@contextmanager
def planted(texts: Mapping[str, str]) -> Iterator[None]:
    """Build scripts of other texts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "read", lambda name: texts.get(name) or original(name))
        _forget_scripts()
        yield
    _forget_scripts()


def _forget_scripts() -> None:
    for cached in (scripts.script, scripts.library, scripts._pieces, lab_script, clocked):
        cached.cache_clear()


@contextmanager
def _noted(servers: list[EmbeddedServer]) -> Iterator[None]:
    """Add every server that is started to a list."""
    start = EmbeddedServer.start

    def noted(server: EmbeddedServer) -> object:
        servers.append(server)
        return start(server)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddedServer, "start", noted)
        yield


class _Hangs(BaseException):
    """Nothing that a test takes for an error of its own."""


class _Sibling(NamedTuple):
    """All that pytest needs to know of the next test, to keep what it shares with the last one."""

    item: pytest.Item

    def listchain(self) -> list[object]:
        return self.item.listchain()[:-1]


def _passes(item: pytest.Item, seconds: float) -> bool:
    """Run a test for so many seconds at most; what it shares with others is kept."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Hangs

    item.session._setupstate.teardown_exact(item)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        reports = runtestprotocol(item, nextitem=cast(pytest.Item, _Sibling(item)), log=False)
        return not any(report.failed for report in reports)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
