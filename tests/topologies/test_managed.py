"""All processes and commands on servers with the limits of small managed plans."""

import re
import time
from dataclasses import replace

import pytest
from redis.exceptions import RedisError

from gopher.client import Client
from tests.faults.load import Load
from tests.helpers import wait_until
from tests.in_process import run_command
from tests.topologies.managed import ANSWERS, BLOCKED, ManagedServer, Plan
from tests.topologies.stack import TIMEOUT, Stack
from tests.topologies.test_every_call import ABOUT_APART, APART, COMMANDS, ROUTES, Here

pytestmark = pytest.mark.deep

#: Each also says in other words that commands are blocked.
PLANS = {
    "20 connections": Plan(BLOCKED, ANSWERS["renamed"], connections=20),
    "far away": Plan(BLOCKED, ANSWERS["forbidden"], latency=0.05),
    "idle connections closed": Plan(BLOCKED, ANSWERS["disabled"], idle=1.5),
}


@pytest.fixture(scope="module", params=PLANS)
def managed(request, tmp_path_factory):
    with ManagedServer(tmp_path_factory.mktemp("managed"), PLANS[request.param]) as server:
        yield server


@pytest.fixture(scope="module")
def here(managed):
    # All processes fit into 20 connections with two queues, those that `Here` uses most.
    queues = ("sms", "mail") if managed.plan.connections else ("sms", "mail", "images", "default")
    environ = {"WORKER_WEBHOOKS": "0"} if managed.plan.connections else {}
    with Stack(managed.url, queues, REDIS_TIMEOUT=f"{TIMEOUT}s", **environ) as stack:
        if managed.plan.connections:
            # The processes need 18 and a command two: the tests use none.
            stack.client.close()
            stack.client = Client(settings=replace(stack.client.settings, redis_url=managed.server.url))
        here = Here(stack)
        yield here
        here.http.close()


def is_well(health):
    return (health["status"], health["workers"], health["scheduler"]) == ("healthy", 2, "alive")


def test_jobs_run_and_health_is_good_also_after_a_quiet_time(here, managed):
    for quiet in (0.0, 2 * managed.plan.idle):
        until = time.monotonic() + quiet
        wait_until(lambda until=until: time.monotonic() >= until, quiet + 5)
        for queue in here.stack.queues:
            here.client.wait(here.submit(queue=queue), 60)
        wait_until(lambda: is_well(here.http.get("/health").json()), 60, "good health")
    job = {"type": "faults.work", "payload": {}, "queue": "mail", "delay": "0.2s"}
    answers = [here.http.post("/api/v1/jobs?wait=20", json=job) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}


def test_doctor_says_what_it_can_not_see(here, monkeypatch, capfd):
    for name, value in here.stack.environ.items():
        monkeypatch.setenv(name, value)
    assert run_command(["doctor"]) == 0
    skipped = set(re.findall(r"^skipped +(\w+)", capfd.readouterr().out, re.MULTILINE))
    assert skipped == {"server", "eviction", "memory", "persistence", "connections", "replicas"}


def test_the_api_answers(here):
    for method, route in ROUTES:
        if method == "GET" and "<" not in route:
            answer = here.http.get(route)
            assert answer.status_code < 400, f"{route}: {answer.text}"


def test_every_command_answers(here, managed, monkeypatch, capfd):
    # Other queues are served only where connections are plenty.
    alone = {
        "purge",
        "keys rotate",
        "keys revoke",
        "cancel",
        "run-now",
        "move",
        "why",
        "completion",
        "debug crash-points",
    }
    for command in COMMANDS:
        if managed.plan.connections and command in alone:
            continue
        namespace = APART if command.startswith(ABOUT_APART) else here.stack.namespace
        arguments = COMMANDS[command](here)
        for name, value in {**here.stack.environ, "GOPHER_NAMESPACE": namespace}.items():
            monkeypatch.setenv(name, value)
        code = run_command([*command.split(), *arguments])
        said = capfd.readouterr()
        assert code == 0, f"{command}: {said.out}{said.err}"


def test_jobs_that_were_acknowledged_run_once_the_quota_allows_it(tmp_path):
    with ManagedServer(tmp_path, Plan()) as managed, Stack(managed.url, ("default",)) as stack:
        jobs, refused = [], 0
        # A busy machine may need less than the quota.
        for quota in (40, 20, 10):
            managed.set_plan(Plan(quota=quota))
            with Load(stack.address, 60, threads=4) as load:
                pass
            jobs += [(job_id, "default") for job_id in load.ids]
            refused += load.answers[503]
            assert (load.lies, load.strange) == ([], [])
            if refused:
                break
        managed.set_plan(Plan())
        wait_until(lambda: set(stack.states(jobs).values()) == {"completed"}, 120, "all jobs to complete")
        assert refused > 0


def connects(client):
    try:
        return client.server.client.ping()
    except RedisError:
        return False


def test_a_command_says_that_there_are_no_connections_left(tmp_path, monkeypatch, capfd):
    with ManagedServer(tmp_path, Plan(connections=1)) as managed, Client(managed.url) as client:
        # The one that has looked for the proxy may still be there.
        wait_until(lambda: connects(client), 60)
        monkeypatch.setenv("REDIS_URL", managed.url)
        assert run_command(["stats"]) == 1
        assert "the server has reached its maximum number of connections" in capfd.readouterr().err
