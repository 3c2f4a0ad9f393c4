"""Each kind of address, used by each kind of process: the API, workers and their children, schedulers, gopherctl."""

import os
from collections.abc import Callable, Iterator

import httpx
import msgspec
import pytest

from gopher.config.settings import Settings
from gopher.jobs.schedule import ScheduleSpec
from tests.helpers import wait_until
from tests.topologies.secured import PASSWORD, SENTINEL_PASSWORD, Site
from tests.topologies.stack import TIMEOUT, Stack
from tests.worker.nursery import ROOT, Raised

pytestmark = pytest.mark.deep

KINDS: dict[str, tuple[bool, Callable[[Site], dict[str, str]]]] = {
    "unix": (False, Site.socket),
    "redis": (False, Site.single),
    "rediss": (True, Site.single),
    "redis+sentinel": (False, Site.sentinel),
    "rediss+sentinel": (True, Site.sentinel),
    "redis+cluster": (False, Site.cluster),
    "rediss+cluster": (True, Site.cluster),
}
#: The same servers under another name, each of which is a kind of its own in a URL.
VALKEY = {"redis": "valkey", "rediss": "valkeys", "unix": "unix"}


@pytest.fixture(params=KINDS)
def stack(request) -> Iterator[Stack]:
    encrypted, start = KINDS[request.param]
    with Site(encrypted=encrypted) as site:
        settings = start(site)
        scheme, _, rest = settings["REDIS_URL"].partition("://")
        assert scheme == request.param
        server, plus, kind = scheme.partition("+")
        settings["REDIS_URL"] = f"{VALKEY[server]}{plus}{kind}://{rest}"
        # The test's own client gets all of it in the URL, and the processes in their settings.
        # Nothing fails here that is slow only.
        settings["REDIS_TIMEOUT"] = f"{TIMEOUT}s"
        with Stack(Settings.from_env(settings).redis_url, ["mail"], **settings) as running:
            yield running


def gopherctl(stack: Stack, *words: str) -> str:
    said = stack.folder / f"said-{len(list(stack.folder.glob('said-*')))}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **stack.environ}
    process = Raised("gopher.cli", environ, stack.folder, said, arguments=words, safe_path=True)
    assert process.wait(300) == 0, said.read_text()
    return said.read_text()


def test_jobs_of_all_processes_run(stack):
    completed = {}

    def wait_for(who: str, job_id: str) -> None:
        completed[who] = stack.client.wait(job_id, 60).status

    job = {"type": "faults.work", "payload": {}, "queue": "mail"}
    answer = httpx.post(f"{stack.address}/api/v1/jobs", json=job, timeout=60)
    wait_for("the API", answer.json()["job_id"])
    wait_for("a client", stack.client.enqueue("faults.work", {}, queue="mail"))
    wait_for("a delayed one", stack.client.enqueue("faults.work", {}, queue="mail", delay="500ms"))
    # Its handler has a client of its own, in a child of a worker.
    wait_for("a handler", stack.client.enqueue("cleanup", {}, queue="mail"))
    said = gopherctl(stack, "submit", "-t", "faults.work", "--queue", "mail", "--wait")
    stack.client.schedules.put("often", ScheduleSpec("* * * * * *", "faults.work", msgspec.Raw(b"{}"), queue="mail"))
    wait_until(lambda: len(stack.client.jobs().jobs) > len(completed) + 1, 60, "a job of the schedule")
    assert set(completed.values()) == {"completed"}

    def health() -> dict[str, object]:
        return dict(httpx.get(f"{stack.address}/health", timeout=60).json())

    good = ("healthy", 2, "alive")
    wait_until(lambda: tuple(map(health().get, ("status", "workers", "scheduler"))) == good, 60, "good health")
    said += gopherctl(stack, "doctor") + gopherctl(stack, "health") + gopherctl(stack, "stats") + str(health())
    for secret in (PASSWORD, SENTINEL_PASSWORD, "of%2Fservers", "of%23sentinels"):
        assert secret not in said
        assert secret not in stack.logs()
