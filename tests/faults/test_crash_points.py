"""Every crash point once: the process that comes by is killed there, others go on, and nothing is lost.

The names are those that Gopher itself lists. One that no process comes by is a test that fails: so a new step
can't stay without one.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gopher.base.states import ENDED
from gopher.client import Client
from gopher.queue.invariants import findings
from gopher.queue.scripts import names as script_names
from gopher.queue.scripts import script
from gopher.server.calls import Call
from gopher.server.crashpoints import names
from gopher.server.embedded import EmbeddedServer
from tests.faults import one_call, points
from tests.faults.calls import SEEDS, Stage, direct, picture
from tests.faults.ledger import VARIABLE, counts, read
from tests.helpers import free_port, wait_until
from tests.worker.nursery import ROOT, Raised
from tests.worker.processes import Process, where

#: Processes that are killed at the same time.
_AT_ONCE = 4
_LEASE = {"WORKER_LEASE": "2s", "WORKER_POLL_INTERVAL": "500ms"}


@dataclass
class Fate:
    """What was seen of one point."""

    reached: bool = False
    ids: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Ground:
    """A key space with its folder, and processes in it."""

    def __init__(self, url: str, name: str, folder: Path) -> None:
        self.client = Client(url, namespace=name, connections=_AT_ONCE * 3)
        self.folder = folder / name
        self.folder.mkdir()
        self.ledger = self.folder / "ledger"
        self.processes: list[Process] = []

    def start(self, part: str, folder: str, **environ: str) -> Process:
        (self.folder / folder).mkdir(exist_ok=True)
        variables = {
            "GOPHER_HANDLERS": "tests.faults.handlers", "LOG_FORMAT": "json", VARIABLE: str(self.ledger),
            **where(self.client), **_LEASE, **environ,
        }  # fmt: skip
        process = Process(part, variables, self.folder / folder)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.destroy()
        self.client.close()


Grounds = dict[str, Ground]
Fates = dict[str, Fate]


@pytest.fixture(scope="module")
def fates() -> Iterator[Fates]:
    """Kill at every point, several at once; then let honest processes finish what is there."""
    with tempfile.TemporaryDirectory(prefix="gopher-points-") as name, EmbeddedServer(Path(name) / "s") as server:
        grounds = {kind: Ground(server.url, kind, Path(name)) for kind in ("worker", "scheduler", "api", "client")}
        try:
            yield _kill_everywhere(grounds, server.url)
        finally:
            for ground in grounds.values():
                ground.close()


def _kill_everywhere(grounds: Grounds, url: str) -> Fates:
    mine: dict[str, list[str]] = {}
    for name in names(script_names()):
        mine.setdefault(points.who(name), []).append(name)
    fates = {name: Fate() for name in names(script_names())}
    _load_scripts(grounds["api"].client)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # One after the other: each scheduler does the duties of all queues.
        lanes = [pool.submit(_each, _kill_scheduler, mine["scheduler"], grounds["scheduler"], fates)]
        lanes += [pool.submit(_kill_worker, name, grounds["worker"], fates[name]) for name in mine["supervisor"]]
        lanes += [pool.submit(_kill_worker, name, grounds["worker"], fates[name]) for name in mine["child"]]
        lanes += [pool.submit(_kill_api, name, grounds["api"], fates[name]) for name in mine["api"]]
        lanes += [
            pool.submit(_kill_client, name, grounds["client"], url, fates[name]) for name in mine.get("client", [])
        ]
        for lane in lanes:
            lane.result()
    _finish(grounds, mine, fates)
    return fates


def _load_scripts(client: Client) -> None:
    """A script that the server does not know is sent twice: who is killed after the first time has done nothing."""
    for verb in script_names():
        client.server.client.script_load(script(verb).source)


def _each(kill: Callable[..., None], some: list[str], ground: Ground, fates: Fates) -> None:
    for name in some:
        kill(name, ground, fates[name])


def _kill_worker(name: str, ground: Ground, fate: Fate) -> None:
    plan, queue = points.plan(name), points.queue_of(name)
    fate.ids += plan.seed(ground.client, queue)
    worker = ground.start(
        "worker", name, GOPHER_CRASH_AT=name, WORKER_QUEUES=queue, WORKER_CONCURRENCY="1", WORKER_MAX_CRASHES="9"
    )
    if plan.poke:
        wait_until(lambda: not worker.running or _is_there(ground, worker))
        fate.ids += plan.poke(ground.client, queue, worker, fate.ids)
    if points.who(name) == "child":
        wait_until(lambda: '"a child process died"' in worker.log or not worker.running)
        fate.reached = '"how": "SIGKILL"' in worker.log
        # The next child would die there too.
        worker.stop()
    else:
        fate.reached = points.wait_for_death(worker)
    worker.destroy()


def _is_there(ground: Ground, worker: Process) -> bool:
    # It shows itself before its children are there.
    return any(view.pid == worker.pid and view.children for view in ground.client.workers())


def _kill_scheduler(name: str, ground: Ground, fate: Fate) -> None:
    fate.ids += points.plan(name).seed(ground.client, points.queue_of(name))
    doomed = ground.start("scheduler", name, GOPHER_CRASH_AT=name, GOPHER_DEAD_MAX="1")
    fate.reached = points.wait_for_death(doomed)
    doomed.destroy()


def _kill_api(name: str, ground: Ground, fate: Fate) -> None:
    """The process of the API that takes a submission dies; the client repeats it with the same key."""
    with _api(ground, f"{name}-armed", GOPHER_CRASH_AT=name) as http:
        try:
            answer = _submit(http, points.queue_of(name))
            fate.wrong.append(f"was answered: {answer.text}")
        except httpx.TransportError:
            fate.reached = True
    with _api(ground, name) as http:
        answers = [_submit(http, points.queue_of(name)) for _ in range(2)]
    replayed = [answer.headers.get("Idempotent-Replayed") == "true" for answer in answers]
    if replayed != [not name.endswith("before_send"), True]:
        fate.wrong.append(f"the repeats were told {replayed}")
    fate.ids += {answer.json()["job_id"] for answer in answers}
    if len(fate.ids) != 1 or ground.client.stats().queues[points.queue_of(name)].total_enqueued != 1:
        fate.wrong.append("more than one job was stored")


def _submit(http: httpx.Client, queue: str) -> httpx.Response:
    body = {"type": "faults.work", "payload": {}, "queue": queue}
    return http.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": queue})


class _api:  # noqa: N801 - used as a function
    """An API of one process for as long as a `with` lasts; yields a client of it."""

    def __init__(self, ground: Ground, folder: str, **environ: str) -> None:
        port = free_port()
        self._process = ground.start("app", folder, SERVER_PORT=str(port), WEB_CONCURRENCY="1", **environ)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def __enter__(self) -> httpx.Client:
        wait_until(self._answers, 60, "the API")
        return self._http

    def __exit__(self, *exc: object) -> None:
        self._http.close()
        self._process.destroy()

    def _answers(self) -> bool:
        try:
            return self._http.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False


def _kill_client(name: str, ground: Ground, url: str, fate: Fate) -> None:
    """A client that is killed in a call has made it or not, never half; and the same call may be made again."""
    verb, _, stage_of = name.partition(".")
    near = direct(url)
    folder = ground.folder / name
    folder.mkdir()
    stages = [Stage(near.server), Stage(near.server)]
    calls = [SEEDS[verb](stage) for stage in stages]
    stages[0].run(calls[0])
    untouched, done = picture(near.server, stages[1].queue.keys), picture(near.server, stages[0].queue.keys)
    fate.reached = _call_as_a_process(url, calls[1], folder, GOPHER_CRASH_AT=name) == -9
    expected = untouched if stage_of == "before_send" else done
    if (seen := _picture_when(expected, stages[1])) != expected:
        fate.wrong.append(f"after the death: {seen}")
    if _call_as_a_process(url, calls[1], folder) != 0 or (seen := picture(near.server, stages[1].queue.keys)) != done:
        fate.wrong.append(f"after the repeat: {seen}, expected {done}")
    near.close()


def _picture_when(expected: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """Return the picture as soon as it is the expected one: the server may do what a process sent after its death."""
    until = time.monotonic() + 30
    while (seen := picture(stage.server, stage.queue.keys)) != expected and time.monotonic() < until:
        time.sleep(0.02)
    return seen


def _call_as_a_process(url: str, call: Call, folder: Path, **environ: str) -> int:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": url, "GOPHER_NAMESPACE": "cut", **environ}
    stdin = folder / "call.json"
    stdin.write_text(one_call.encode(call))
    return Raised("tests.faults.one_call", variables, folder, folder / "log", stdin=stdin).wait(60)


def _finish(grounds: Grounds, mine: dict[str, list[str]], fates: Fates) -> None:
    """Let one honest worker and one scheduler a key space end what the dead have left."""
    kinds = {"worker": mine["supervisor"] + mine["child"], "scheduler": mine["scheduler"], "api": mine["api"]}
    for kind, some in kinds.items():
        queues = ",".join(map(points.queue_of, some))
        # Its own lease outlasts any stall of a busy machine: nobody else is to run what it has begun.
        grounds[kind].start("worker", "honest", WORKER_QUEUES=queues, WORKER_CONCURRENCY="2", WORKER_LEASE="10s")
        grounds[kind].start("scheduler", "honest")
    for kind, some in kinds.items():
        _wait_for_ends(grounds[kind], some, fates)
        for name in some:
            _look(name, grounds[kind], fates[name])


def _wait_for_ends(ground: Ground, some: list[str], fates: Fates) -> None:
    until = time.monotonic() + 120
    while left := _left(ground, some, fates):
        assert time.monotonic() < until, f"these jobs have not ended: {left}"
        time.sleep(0.05)


def _left(ground: Ground, some: list[str], fates: Fates) -> list[tuple[str, str | None]]:
    found = [(name, _state(ground.client, name, job_id)) for name in some for job_id in fates[name].ids]
    return [(name, state) for name, state in found if state not in ENDED]


def _state(client: Client, name: str, job_id: str) -> str | None:
    return client.inspector.state(points.queue_of(name), job_id)


def _look(name: str, ground: Ground, fate: Fate) -> None:
    """Note what is wrong with a queue in the end."""
    plan = points.plan(name) if points.who(name) != "api" else points.Plan(runs=1)
    starts = counts(read(ground.ledger), "start")
    for job_id in fate.ids:
        state = _state(ground.client, name, job_id)
        if state != plan.state:
            fate.wrong.append(f"the job is {state}, expected {plan.state}")
        most = 1 if name in points.SETTLED else plan.runs
        if plan.state == "completed" and not 1 <= starts[job_id] <= most:
            fate.wrong.append(f"the job was begun {starts[job_id]} times, allowed: 1 to {most}")
    look = partial(findings, ground.client.server.client, ground.client.server.keys.for_queue(points.queue_of(name)))
    # It is read in several calls: what has changed between them is not found again.
    fate.wrong += look() and look()


@pytest.mark.parametrize("name", names(script_names()))
def test_a_process_that_is_killed_there_loses_nothing(fates, name):
    assert fates[name].reached, f"no process came by {name}: give it a plan in tests/faults/points.py"
    assert fates[name].wrong == []
