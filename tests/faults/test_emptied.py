"""The server is emptied while API, worker and scheduler run: within seconds all is as after a fresh start, unaided."""

import time

import httpx
import pytest

from tests.faults.lab import QUEUE, System
from tests.helpers import wait_until

#: Seconds within which all is made known again.
SOON = 10.0


@pytest.fixture(scope="module")
def system(seed):
    with System(workers=1, children=2, seed=seed, GOPHER_HANDLERS="tests.faults.declaring") as running:
        yield running


@pytest.fixture(scope="module")
def http(system):
    # The API may close an idle connection just when it is used again.
    with httpx.Client(base_url=system.address, timeout=20, headers={"Connection": "close"}) as http:
        yield http


def submit(http, queue):
    answer = http.post("/api/v1/jobs", json={"type": "declared.limited", "payload": {}, "queue": queue})
    assert answer.status_code == 201, answer.text
    return answer.json()["job_id"]


def limits(http):
    return [limit["type"] for limit in http.get("/api/v1/limits").json()["limits"]]


def ticks(system):
    return system.client.inspector.totals(QUEUE).get("enqueued:declared.tick:normal", 0)


def notices(http):
    return [reason for reason in http.get("/health").json().get("reasons", []) if "was emptied" in reason]


def flush(system):
    system.client.server.client.flushall()


def restart_without_the_file(system):
    system.server.kill()
    for path in (system.folder / "server").rglob("*.aof*"):
        path.unlink()
    system.server.start()


@pytest.mark.parametrize("empty", [flush, restart_without_the_file])
def test_all_is_made_known_again(system, http, empty):
    for queue in (QUEUE, "unserved"):
        submit(http, queue)
    wait_until(lambda: ticks(system), SOON, "the handler's schedule to fire")
    wait_until(lambda: "declared.limited" in limits(http), SOON, "the handler's limit")
    assert notices(http) == []
    empty(system)

    # By an API that knows these queues well.
    ids = [submit(http, queue) for queue in (QUEUE, "unserved")]
    began = time.monotonic()
    wait_until(lambda: http.get(f"/api/v1/jobs/{ids[0]}").json().get("status") == "completed", SOON, "the job to run")
    wait_until(lambda: http.get(f"/api/v1/jobs/{ids[1]}").status_code == 200, SOON, "the job that waits to be found")
    wait_until(lambda: set(http.get("/api/v1/queue/stats").json()["queues"]) >= {QUEUE, "unserved"}, SOON, "queues")
    wait_until(lambda: ticks(system) >= 2, SOON, "the handler's schedule to fire again")
    wait_until(lambda: "declared.limited" in limits(http), SOON, "the handler's limit to hold again")
    wait_until(lambda: notices(http), SOON, "health to tell of it")
    assert time.monotonic() - began < 2 * SOON
    assert [schedule["name"] for schedule in http.get("/api/v1/schedules").json()["schedules"]] == ["declared.tick"]
    assert http.get("/health").json()["status"] == "degraded"
    for process in (*system.workers, *system.schedulers):
        wait_until(lambda process=process: process.log.count("the server was emptied") == 1, SOON, "a line in the log")
    system.client.server.client.hset(system.client.server.keys.meta, "acknowledged", system.client.inspector.now())
    wait_until(lambda: notices(http) == [], SOON, "health to be well again")
    for process in (*system.workers, *system.schedulers):
        # So that the next one is counted from none on.
        process._log.write_text("")
