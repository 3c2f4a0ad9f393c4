"""The server, or the way to it, misbehaves for a while: the API says what is so, and everything goes on by itself."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest
from redis.exceptions import RedisError

from gopher.server.idle_connections import IDLE
from tests.faults.load import Load
from tests.faults.storms import lost_replies
from tests.helpers import wait_until

#: What the server says instead of doing anything, and the codes of the API's 503.
SAYINGS = {
    "LOADING Redis is loading the dataset in memory": {"queue_unavailable"},
    "READONLY You can't write against a read only replica.": {"queue_unavailable"},
    "MISCONF Errors writing to the AOF file: No space left on device": {"storage_full"},
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": {"busy"},
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": {"queue_unavailable"},
    "NOREPLICAS Not enough good replicas to write.": {"queue_unavailable"},
    "ERR Error running script (call to f_8c0): @user_script:7: @user_script: 7: -READONLY You": {"queue_unavailable"},
    # The latter if the API fails to read its keys: then nothing was sent to be stored.
    "ERR upstream failure": {"outcome_unknown", "queue_unavailable"},
}
#: What happens on the way there.
ROADS = ("refuse", "blackhole", "garbage")


@pytest.fixture
def whole(proxied) -> Iterator[None]:
    """Let the proxy pass everything again, whatever a test has done to it."""
    yield
    proxied.proxy.mode("pass")
    wait_until(proxied.complete, 60, "the worker to be there again")


@contextmanager
def repeatedly(deed: Callable[[], object], pause: float) -> Iterator[None]:
    """Do something again and again for as long as a `with` lasts."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(pause):
            with suppress(RedisError, OSError):
                deed()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def submit(system) -> httpx.Response:
    with httpx.Client(base_url=system.address, timeout=20) as http:
        return http.post("/api/v1/jobs", json={"type": "faults.work", "payload": {}})


def check(system, load: Load, *, once: bool = True) -> None:
    """Everything that was accepted was done; each job by one attempt, where no lease can have run out."""
    system.wait(load.ids, 60)
    found = system.audit(load.accepted)
    assert found.sound, found
    assert found.completed == load.count, found
    assert found.twice == [] or not once, "\n".join([str(found), *system.warnings()])
    assert (load.lies, load.strange) == ([], [])
    assert system.findings() == []


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("saying", SAYINGS, ids=lambda saying: saying[:20])
def test_reports_why_nothing_was_stored_and_continues_with_the_server(proxied, saying):
    """Jobs run meanwhile: what they bring is settled when the server takes it again."""
    with Load(proxied.address, 4, payload={"seconds": 0.5}) as load:
        pass
    proxied.proxy.mode("inject", text=saying)

    def answers_so() -> bool:
        answer = submit(proxied)
        assert (answer.status_code, bool(answer.headers["Retry-After"])) == (503, True), answer.text
        return answer.json()["code"] in SAYINGS[saying]

    # A reply that takes too long on a busy machine counts as none.
    wait_until(answers_so, what=str(SAYINGS[saying]))
    proxied.proxy.mode("pass")
    began = time.monotonic()
    check(proxied, load)
    assert time.monotonic() - began < 15
    wait_until(lambda: submit(proxied).status_code == 201, what="submissions to be taken again")


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("idle", [0.0, pytest.param(IDLE + 0.1, marks=pytest.mark.deep)])
def test_connections_that_were_forgotten_on_the_way_are_replaced_and_nobody_is_rejected(proxied, idle):
    """By a firewall or load balancer, without a word to either side, in use or after a while without traffic."""
    wait_until(lambda: submit(proxied).status_code == 201, what="a submission to be taken")
    with httpx.Client(base_url=proxied.address, timeout=20) as http:
        job = {"type": "faults.work", "payload": {}}
        job_id = wait_until(lambda: http.post("/api/v1/jobs?wait=5", json=job).json().get("job_id"), what="a job")
        until = time.monotonic() + idle
        wait_until(lambda: time.monotonic() >= until, idle + 1)
        proxied.proxy.forget()
        with ThreadPoolExecutor(6) as clients:
            answers = list(clients.map(lambda _: submit(proxied), range(6)))
        assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
        if idle:
            proxied.proxy.forget()
            until = time.monotonic() + idle
            wait_until(lambda: time.monotonic() >= until, idle + 1)
            assert http.get(f"/api/v1/jobs/{job_id}").status_code == 200
            assert http.get("/api/v1/queue/stats").status_code == 200


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("road", ROADS)
def test_reports_that_the_server_is_unavailable_and_continues_when_it_is_back(proxied, road):
    with Load(proxied.address, 4, payload={"seconds": 0.5}) as load:
        pass
    proxied.proxy.mode(road)
    began = time.monotonic()
    answer = submit(proxied)
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] in ("queue_unavailable", "outcome_unknown")
    assert time.monotonic() - began < 15
    proxied.proxy.mode("pass")
    began = time.monotonic()
    # A reply that never comes is waited for: with a lease of 4 s, that may be too long.
    check(proxied, load, once=road != "blackhole")
    assert time.monotonic() - began < 20
    wait_until(lambda: submit(proxied).status_code == 201, what="submissions to be taken again")


@pytest.mark.usefixtures("whole")
def test_jobs_that_outlast_an_outage_run_once_although_every_lease_has_expired(proxied):
    with Load(proxied.address, 4, payload={"seconds": 6}) as load:
        pass
    wait_until(lambda: len({entry.job_id for entry in proxied.events()} & set(load.ids)) == 4)
    proxied.proxy.mode("refuse")
    time.sleep(4.5)
    proxied.proxy.mode("pass")
    check(proxied, load)


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(("mode", "order"), [("delay", {"seconds": 0.2}), ("rate", {"size": 50_000})])
def test_works_over_a_slow_network_without_losing_its_lease(proxied, mode, order):
    rescued = proxied.totals("rescued")
    proxied.proxy.mode(mode, **order)
    with Load(proxied.address, 8, payload={"seconds": 0.1}) as load:
        pass
    check(proxied, load)
    assert proxied.totals("rescued") == rescued


@pytest.mark.usefixtures("whole")
def test_no_reply_that_is_lost_loses_or_doubles_a_job(proxied):
    report = lost_replies(proxied, jobs=150)
    assert report.sound, report
    assert report.faults > 10


def test_scripts_that_are_flushed_again_and_again_are_loaded_again_unseen(unhurried):
    with (
        repeatedly(unhurried.client.server.client.script_flush, 0.02),
        Load(unhurried.address, 200, threads=4) as load,
    ):
        load.join()
        check(unhurried, load)
    assert set(load.answers) == {201}


def test_connections_that_are_killed_again_and_again_are_made_again(unhurried):
    redis = unhurried.client.server.client
    with (
        repeatedly(lambda: redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), 0.2),
        Load(unhurried.address, 200, payload={"seconds": 0.02}, threads=4, pause=0.01) as load,
    ):
        load.join()
        wait_until(lambda: _unfinished(unhurried, load) == 0, 60, "all jobs to end")
    check(unhurried, load)
    assert set(load.answers) <= {201, 503}


def _unfinished(system, load) -> int:
    try:
        return system.unfinished(load.ids)
    except (RedisError, OSError):
        return 1


def test_one_key_sent_by_many_at_once_to_two_processes_makes_one_job(system):
    """As a client does that repeats before it has the answer."""
    answers: list[httpx.Response] = []
    together = threading.Barrier(12)

    def send() -> None:
        with httpx.Client(base_url=system.address, timeout=20) as http:
            together.wait()
            answers.append(
                http.post(
                    "/api/v1/jobs", json={"type": "faults.work", "payload": {}}, headers={"Idempotency-Key": "one"}
                )
            )

    enqueued = system.totals("enqueued")
    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    # Two that came within the same millisecond are not told apart.
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) >= 6
    assert system.totals("enqueued") == enqueued + 1
