"""Processes of this release and of the one before run side by side, and each is replaced by the other under load."""

import subprocess
import sys
import time

import httpx
import pytest
from gopher.cli.release_check import release_check

from tests.helpers import wait_until
from tests.topologies.fleet import BEFORE, NOW, Fleet
from tests.topologies.mixed_load import SCHEDULE, MixedLoad
from tests.topologies.release import require

pytestmark = pytest.mark.deep

#: Seconds of load on each mix.
SECONDS = 5.0


def add_schedule(fleet, release):
    # Else it fires once for two seconds if a busy machine has kept the scheduler waiting.
    when = {"cron_expression": "* * * * * *", "missed": "run_all"}
    spec = {**when, "type": "faults.work", "payload": {"number": SCHEDULE}}
    (address,) = fleet.addresses(release)[:1]
    httpx.put(f"{address}/api/v1/schedules/{SCHEDULE}", json=spec, timeout=60).raise_for_status()


def check(fleet, load, name):
    found = load.findings()
    sys.stderr.write(f"\n{name}: {found.accepted} jobs\n")
    assert found.accepted > 50
    assert found.sound, f"{found}\n{fleet.logs()[-5000:]}"

    def left():
        return [entry for entry in fleet.client.stats().queues.values() if entry.waiting or entry.failed]

    # The schedule goes on.
    wait_until(lambda: not left(), 60, "all queues to be empty")


MIXES = {
    "workers of the release before": [("app", NOW), ("worker", BEFORE), ("scheduler", NOW)],
    "an API of the release before": [("app", BEFORE), ("worker", NOW), ("scheduler", NOW)],
    "a scheduler of the release before": [("app", NOW), ("worker", NOW), ("scheduler", BEFORE)],
    "an API of this release": [("app", NOW), ("worker", BEFORE), ("scheduler", BEFORE)],
    "all parts of both": [(part, release) for part in ("app", "worker", "scheduler") for release in (BEFORE, NOW)],
}


@pytest.mark.parametrize("mix", MIXES)
def test_jobs_of_all_kinds_go_through(mix):
    with Fleet(*MIXES[mix]) as fleet:
        with MixedLoad(fleet) as load:
            add_schedule(fleet, MIXES[mix][0][1])
            began = time.monotonic()
            wait_until(lambda: time.monotonic() > began + SECONDS and len(load.jobs) > 50, 120)
        check(fleet, load, mix)


@pytest.mark.parametrize(("first", "then"), [(BEFORE, NOW), (NOW, BEFORE)], ids=["an upgrade", "a way back"])
def test_all_processes_are_replaced_one_by_one_under_load(first, then):
    parts = [(part, first) for part in ("app", "app", "worker", "worker", "scheduler", "scheduler")]
    with Fleet(*parts) as fleet:
        with MixedLoad(fleet) as load:
            add_schedule(fleet, first)
            for member in list(fleet.members):
                fleet.replace(member, then)
            accepted = len(load.jobs)
            wait_until(lambda: len(load.jobs) > accepted + 50, 120)
        check(fleet, load, f"from the release {first} to that of {then}")


# The API of that release does not look.
@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_a_process_of_the_release_before_does_not_start_where_it_is_too_old(part):
    with Fleet() as fleet:
        fleet.client.server.client.hset(fleet.client.server.keys.meta, mapping={"protocol": 3, "schema": 2})
        process = fleet.start(part, BEFORE).process
        assert process.wait(60) != 0
        assert "schema 2" in process.log


@pytest.mark.parametrize("part", ["worker", "scheduler", "app"])
def test_a_process_of_this_release_does_not_start_where_it_is_too_old(part):
    with Fleet() as fleet:
        fleet.client.server.client.hset(fleet.client.server.keys.meta, mapping={"protocol": 4, "schema": 3})
        process = fleet.start(part, NOW).process
        assert process.wait(60) != 0
        assert "works with protocols from 3 on" in process.log


def test_doctor_tells_the_two_releases_apart():
    with Fleet(("app", NOW), ("worker", NOW), ("worker", BEFORE), ("scheduler", NOW), ("scheduler", BEFORE)) as fleet:
        httpx.get(f"{fleet.addresses()[0]}/health", timeout=60).raise_for_status()
        wait_until(lambda: "API" in str(release_check(fleet.client)), 60)
        (finding,) = release_check(fleet.client).findings
        old, new = (next(each for each in fleet.client.workers() if bool(each.build) == is_new) for is_new in (0, 1))
        assert f"of an earlier release: {old.id}" in finding.message
        assert f"build {new.build}: API, scheduler, {new.id}" in finding.message
        assert "of an earlier release: scheduler " in finding.message


def test_a_clone_without_the_commit_says_what_to_do(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    with pytest.raises(pytest.fail.Exception, match="git fetch --unshallow"):
        require("0" * 40, tmp_path)
