"""The server's state is watched while processes run, and what endangers jobs is told."""

from dataclasses import replace

import pytest
import structlog
from gopher.cli.checks import replicas_check
from gopher.scheduler.server_watcher import ServerWatcher

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.queue import server_state
from gopher.queue.server_state import NodeState, changes, dangers_of, read_node
from tests.helpers import wait_until
from tests.topologies.pair import Pair

SETTINGS = Settings.from_env({})


@pytest.fixture(scope="module")
def pair():
    with Pair() as running:
        yield running


@pytest.fixture
def client(pair, namespace, monkeypatch):
    monkeypatch.setattr(server_state, "LOOK_EVERY", 0.0)
    with Client(pair.url, namespace=namespace) as client:
        yield client


@pytest.fixture
def policy(pair):
    """Let the server evict, in the midst of the test."""

    def set_policy(name):
        pair.primary.client.config_set("maxmemory-policy", name)

    yield set_policy
    set_policy("noeviction")


def test_a_healthy_server_is_described(client):
    # On a busy machine the replica may be late for a moment.
    wait_until(lambda: all(state.lag <= 2 for state in client.server.watch.states().values()))
    ((name, state),) = client.server.watch.states().items()
    assert name == client.settings.redis_url.removeprefix("redis://").partition("/")[0]
    assert state == NodeState("noeviction", 0, state.memory, 0, True, (), 1, state.lag)
    assert state.memory > 500_000
    health = client.health()
    assert [each for each in health.reasons if "scheduler" not in each] == []
    assert (health.redis.nodes[0].replicas, health.redis.nodes[0].maxmemory_policy) == (1, "noeviction")


def test_an_eviction_policy_that_is_changed_at_run_time_is_told_and_logged_once(client, policy):
    watcher = ServerWatcher(client.server)
    with structlog.testing.capture_logs() as lines:
        watcher.step()
        policy("allkeys-lru")
        watcher.step()
        watcher.step()
        assert any("maxmemory-policy is allkeys-lru" in reason for reason in client.health().reasons)
        policy("noeviction")
        watcher.step()
    assert [(line["log_level"], "allkeys-lru" in str(line)) for line in lines] == [("warning", True), ("info", True)]


def test_a_replica_that_goes_is_logged_and_missed_where_it_is_required(pair, client):
    required = replace(client.settings, durability="replicated")
    watcher = ServerWatcher(client.server)
    with structlog.testing.capture_logs() as lines:
        watcher.step()
        pair.detach()
        try:
            watcher.step()
            states = client.server.watch.states()
        finally:
            pair.attach()
    assert [line["event"].partition(": ")[2] for line in lines] == ["a replica has disconnected; 0 of 1 remain"]
    assert dangers_of(states, SETTINGS) == []
    (missing,) = dangers_of(states, required)
    assert "0 of 1 replicas are connected" in missing.message
    assert replicas_check(states, required).findings[0].message == missing.message
    assert replicas_check(states, SETTINGS).findings == []


def test_a_frozen_replica_is_behind(pair, client, monkeypatch):
    monkeypatch.setattr(server_state, "LATE", 0.5)
    wait_until(lambda: not client.server.watch.dangers(), 60, "the replica to confirm")
    with pair.frozen_replicas():
        (late,) = wait_until(client.server.watch.dangers, 60, "the replica to be late")
    assert "a replica has confirmed nothing for" in late.message


def test_a_server_that_refuses_info_is_not_watched_and_healthy(pair, client):
    pair.primary.client.execute_command("ACL", "SETUSER", "default", "-info")
    try:
        assert client.server.watch.states() == {}
        assert client.health().redis.nodes == []
        ServerWatcher(client.server).step()
        assert replicas_check({}, SETTINGS).verdict == "skipped"
    finally:
        pair.primary.client.execute_command("ACL", "SETUSER", "default", "+@all")


def test_it_is_asked_every_ten_seconds_at_most(pair, namespace):
    with Client(pair.url, namespace=namespace) as client:
        client.health()
        pair.primary.client.config_resetstat()
        for _ in range(5):
            client.health()
        assert "cmdstat_info" not in pair.primary.client.info("commandstats")


@pytest.mark.parametrize(
    ("info", "kinds"),
    [
        ({}, []),
        ({"maxmemory_policy": "noeviction", "maxmemory": 0, "used_memory": 5, "aof_enabled": 1}, []),
        ({"maxmemory_policy": "volatile-lru"}, ["eviction"]),
        ({"maxmemory": 100, "used_memory": 96}, ["memory"]),
        ({"maxmemory": 100, "used_memory": 94}, []),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, ["write to the append-only file"]),
        ({"rdb_last_bgsave_status": "err"}, ["snapshot"]),
        ({"connected_slaves": 1, "slave0": {"state": "online", "lag": 60}}, ["lag"]),
        ({"connected_slaves": 1, "slave0": {"state": "wait_bgsave", "lag": 60}}, []),
    ],
)
def test_what_info_says_endangers_jobs(info, kinds):
    assert [each.kind for each in dangers_of({"one": read_node(info)}, SETTINGS)] == kinds


def test_the_dangers_of_a_cluster_name_the_node():
    (danger,) = dangers_of({"a:1": NodeState(policy="noeviction"), "b:2": NodeState(policy="allkeys-lru")}, SETTINGS)
    assert danger.message.startswith("b:2: ")


def test_what_has_become_worse_is_told():
    before = {"a:1": NodeState(aof=True, replicas=2, evicted=0)}
    assert list(changes(before, before)) == []
    assert [
        text.partition(",")[0] for text in changes(before, {"a:1": NodeState(aof=False, replicas=1, evicted=7)})
    ] == [
        "a:1: the append-only file was turned off: a crash of the server now loses jobs",
        "a:1: a replica has disconnected; 1 of 2 remain",
        "a:1: the server has evicted 7 keys: jobs may be lost",
    ]
    assert list(changes(before, {"b:2": NodeState()})) == []
