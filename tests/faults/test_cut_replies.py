"""The reply of every script is cut at every byte: the repeat leaves the queue as if nothing had happened.

By both ways that calls go: `Server.run`, which waits, and `Pipeline`, which worker and scheduler use.
"""

import random
import selectors
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest

from gopher.queue.scripts import names
from gopher.queue.store import Server
from gopher.server.calls import Call
from gopher.server.embedded import EmbeddedServer
from gopher.server.event_loop import EventLoop
from tests.faults.calls import REFUSALS, SEEDS, Stage, direct, picture
from tests.faults.proxy import Proxy

_LANES = 3
Run = Callable[[Server, Call], Any]


@pytest.fixture(scope="module")
def lanes(seed) -> Iterator[list[tuple[Server, Server, Proxy]]]:
    """A server, reached directly and through a proxy, as often as calls are made at once: each its own proxy."""
    with tempfile.TemporaryDirectory(prefix="gopher-cut-") as name, EmbeddedServer(Path(name) / "s") as running:
        proxies = [Proxy(Path(name), running.socket_path, seed=seed) for _ in range(_LANES)]
        made = [(direct(running.url).server, direct(proxy.url).server, proxy) for proxy in proxies]
        yield made
        for near, far, proxy in made:
            near.close()
            far.close()
            proxy.close()


def by_run(server: Server, call: Call) -> Any:
    return server.run(call, patience=60)


def by_link(server: Server, call: Call) -> Any:
    """Make a call as the loops of worker and scheduler do."""
    answers: list[Any] = []
    with selectors.DefaultSelector() as selector:
        event_loop = EventLoop(server, selector)
        pipeline = event_loop.pipeline_to(call.key)
        pipeline.add(call, answers.append)
        until = time.monotonic() + 60
        while not answers:
            now = time.monotonic()
            assert now < until, "no answer"
            event_loop.check(now)
            event_loop.flush(now, 1.0)
            for key, mask in selector.select(max(min(pipeline.wake_at(), now + 0.1) - now, 0)):
                key.data(mask)
        pipeline.connection.close()
    assert not isinstance(answers[0], Exception), answers[0]
    return answers[0]


def cut_at_each(lane: tuple[Server, Server, Proxy], verb: str, run: Run, sizes: Iterator[int]) -> tuple[int, list[str]]:
    """Return the first of `sizes` that is no cut any more, and what differed from a call whose reply came whole."""
    near, far, proxy = lane
    expected = None
    wrong: list[str] = []
    size = next(sizes)
    while True:
        stage = Stage(near)
        call = SEEDS[verb](stage)
        if expected is not None:
            how = "rst" if (size + (run is by_run)) % 2 else "fin"
            proxy.shoot("cut_reply", match=call.script.sha, size=size, how=how)
        answer = run(far if expected is not None else near, call)
        seen = picture(near, stage.queue.keys)
        stage.wipe()
        if expected is None:
            expected = seen
            continue
        if seen != expected or seen["findings"]:
            wrong.append(f"{verb} cut after {size} bytes: {seen} instead of {expected}")
        if REFUSALS & _words(answer):
            wrong.append(f"{verb} cut after {size} bytes: answered {answer}")
        if proxy.whole():
            return size, wrong
        size = next(sizes)


def _words(answer: Any) -> set[str]:
    if isinstance(answer, str):
        return {answer}
    return {word for part in answer for word in _words(part)} if isinstance(answer, list | tuple) else set()


def test_every_script_has_a_call_to_be_cut():
    assert sorted(SEEDS) == names()


@pytest.mark.parametrize("verb", names())
def test_what_is_sent_holds_no_number(lanes, verb):
    """hiredis makes the process crash when a signal's handler raises while it writes one: a soft timeout's may."""
    call = SEEDS[verb](Stage(lanes[0][0]))
    assert {type(word) for each in (call.command(), call.whole_command()) for word in each} <= {str, bytes}


@pytest.mark.parametrize(
    ("run", "step"),
    [(by_link, 5), pytest.param(by_link, 1, marks=pytest.mark.deep), pytest.param(by_run, 1, marks=pytest.mark.deep)],
)
def test_a_reply_that_is_cut_anywhere_loses_and_doubles_nothing(lanes, seed, run, step):
    """After every byte, or before the first one and after every fifth, beginning at one that is drawn."""
    free, first = list(lanes), random.Random(seed).randint(1, step)

    def one(verb: str) -> tuple[int, list[str]]:
        lane = free.pop()
        try:
            return cut_at_each(lane, verb, run, chain([0], count(first, step)))
        finally:
            free.append(lane)

    with ThreadPoolExecutor(_LANES) as pool:
        found = dict(zip(names(), pool.map(one, names()), strict=True))
    assert [text for _, wrong in found.values() for text in wrong] == []
    assert all(cuts >= 4 for cuts, _ in found.values()), found
    print({verb: cuts for verb, (cuts, _) in found.items()})  # noqa: T201 - shown where it fails
