"""`doctor`: each thing that can be wrong is found, and its remedy mends it."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from threading import Timer
from typing import Literal

import msgspec
import pytest
from gopher.cli import fleet_checks
from gopher.cli.checks import Check, ServerLook, look_at, server_checks
from gopher.cli.doctor import tried
from gopher.cli.fleet_checks import (
    acknowledge_losses,
    data_check,
    orphan_check,
    running_check,
    scheduler_check,
    worker_checks,
)
from gopher.cli.release_check import release_check
from gopher.cli.schedule_check import schedule_check
from gopher.cli.store_check import store_check
from gopher.cli.timeout_check import timeout_check

from gopher import __version__
from gopher.base.build import fingerprint
from gopher.base.times import to_rfc3339
from gopher.client import Client
from gopher.errors import JobNotFound, QueueUnavailable
from gopher.files import seen
from gopher.jobs.models import ChildView, WorkerView
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.presence import show_scheduler, show_worker
from gopher.queue.releases import PROTOCOL, show_release
from gopher.reads import stuck
from gopher.reads.health import examine
from gopher.server.calls import Command
from gopher.server.embedded import EmbeddedServer
from tests.seeding import SeedingWorker

from .conftest import Run


def show_fleet(
    client: Client,
    types: tuple[str, ...] = ("math",),
    build: str = fingerprint(),
    store: str = "",
    at: float = 0,
    state: Literal["running", "quiet", "stopping"] = "running",
) -> None:
    """Show a live worker of the default queue with a heartbeat `at` that time (ms), now by default, and a scheduler."""
    now, keys = client.inspector.now(), client.server.keys
    for command in (
        show_release(keys, "scheduler", now),
        Command(keys.declaring, ("ZADD", keys.declaring, now + 60_000, "scheduler-1")),
    ):
        client.server.client.execute_command(*command.words)
    child = ChildView(pid=1, rss=1, jobs_done=0)
    record = WorkerView(
        id="seen-1-abc", host="here", pid=1, version=__version__, build=build, queues=["default"], types=list(types),
        children=[child], jobs_done=0, rss=1, started_at=to_rfc3339(now),
        last_heartbeat=to_rfc3339(at or now), store=store, state=state,
    )  # fmt: skip
    commands = show_worker(client.server.keys, "seen-1-abc", msgspec.json.encode(record), now, 60)
    for command in [*commands, *show_scheduler(client.server.keys, "scheduler-1", now, 60)]:
        client.server.client.execute_command(*command.words)


def told(check: Check) -> str:
    return "\n".join(f"{finding.message} -> {finding.remedy}" for finding in check.findings)


def test_a_sound_installation_has_no_finding_and_exits_0(run: Run, client: Client) -> None:
    client.enqueue("math", {})
    show_fleet(client)
    answer = run("doctor", "--json")
    assert (answer.code, answer.json["findings"]) == (0, 0), answer.out
    of_server = "server eviction memory persistence clock connections replicas writes data"
    names = f"{of_server} scheduler schedules workers types releases running webhooks timeouts admission files orphans"
    assert [check["name"] for check in answer.json["checks"]] == names.split()


def test_types_that_mostly_end_by_their_timeout_are_found_until_they_are_retried(
    client: Client, worker: SeedingWorker
) -> None:
    for job_type, errors in {
        "bar": ["Timeout", "Timeout", ""],
        "fine": ["Timeout", "", ""],
        "bug": ["KeyError"],
    }.items():
        for error in errors:
            client.enqueue(job_type, {})
            (job,) = worker.fetch()
            worker.dead_letter(job, error) if error else worker.complete([job])
    check = timeout_check(client)
    assert check.seen == "2 types with dead letters because of a timeout"
    (finding,) = check.findings
    assert finding.message.startswith("2 of 3 ended jobs of type 'bar' failed because")
    assert "`gopherctl retry-all --type bar --error Timeout`" in finding.remedy
    assert client.dead_letters.retry_all(job_type="bar", error="Timeout") == 2
    assert timeout_check(client).findings == []


def test_findings_are_told_with_their_remedies_and_exit_1(run: Run) -> None:
    answer = run("doctor")
    assert answer.code == 1
    assert "no scheduler is running" in answer.out
    assert "-> Start one with `gopherctl scheduler`." in answer.out
    assert answer.err == "2 findings\n"


def test_replicas_that_an_api_key_asks_for_are_missed(run: Run, client: Client) -> None:
    client.keys.create("shop", durability="replicated")
    answer = run("doctor")
    assert "submissions ask for durability replicated, and 0 of 1 replicas are connected" in answer.out
    assert "-> Attach replicas" in answer.out


def test_a_server_that_is_unavailable_is_an_error_and_not_a_finding(run: Run) -> None:
    answer = run("doctor", "--redis-url", "redis://127.0.0.1:1", "--json")
    assert (answer.code, answer.out) == (1, "")
    assert "the server is unreachable" in answer.err


# The server


@pytest.fixture(scope="module")
def own_client() -> Iterator[Client]:
    """A client of a server whose settings may be corrupt."""
    with (
        tempfile.TemporaryDirectory(prefix="gopher-doctor-") as folder,
        EmbeddedServer(folder) as server,
        Client(server.url) as client,
    ):
        yield client


ENDANGERED = {
    "eviction": ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru", "maxmemory-policy noeviction"),
    "persistence": ({"appendonly": "no"}, "the append-only file is off", "CONFIG SET appendonly yes"),
    "persistence-fsync": ({"appendfsync": "no"}, "appendfsync is no", "CONFIG SET appendfsync everysec"),
    "connections": ({"maxclients": "9"}, "8 of 9 connections", "Raise maxclients"),
    "memory": (
        {"maxmemory": "1"},
        "memory is in use: when it is full, records of finished jobs are evicted",
        "Add memory",
    ),
}


@pytest.mark.parametrize("name", ENDANGERED)
def test_a_setting_that_endangers_jobs_is_found(own_client: Client, name: str) -> None:
    settings, message, remedy = ENDANGERED[name]
    server = own_client.server.client
    before = server.config_get(*settings)
    for option, value in settings.items():
        server.config_set(option, value)
    try:
        checks = {check.name: check for check in server_checks(look_at(own_client.server), {"API": 8})}
    finally:
        for option, value in before.items():
            server.config_set(option, value)
    assert [each for each, check in checks.items() if check.findings] == [name.partition("-")[0]]
    assert message in told(checks[name.partition("-")[0]])
    assert remedy in told(checks[name.partition("-")[0]])


def changed(client: Client, **info: object) -> ServerLook:
    look = look_at(client.server)
    return replace(look, info={**look.info, **info})


@pytest.mark.parametrize(
    ("info", "name", "message"),
    [
        ({"redis_version": "6.0.16"}, "server", "too old"),
        ({"role": "slave"}, "server", "it is a read-only replica"),
        ({"evicted_keys": 3}, "eviction", "3 keys were evicted"),
        ({"aof_last_write_status": "err"}, "persistence", "last write to the append-only file failed"),
        ({"rdb_last_bgsave_status": "err"}, "persistence", "last snapshot failed"),
        ({"connected_clients": 9_500}, "connections", "9500 of 10000 connections"),
        ({"used_memory": 10**15}, "memory", "the kernel may kill it"),
    ],
)
def test_what_the_server_says_of_itself_is_understood(
    own_client: Client, info: dict[str, object], name: str, message: str
) -> None:
    checks = server_checks(changed(own_client, **info), {})
    assert [(check.name, message in told(check)) for check in checks if check.findings] == [(name, True)]


@pytest.mark.parametrize(("allocator", "told_of"), [("libc", True), ("jemalloc-5.3.0", False), (None, False)])
def test_a_slow_allocator_is_told_of_but_is_no_finding(own_client: Client, allocator: str, told_of: bool) -> None:
    memory = server_checks(changed(own_client, mem_allocator=allocator), {})[2]
    assert (memory.name, memory.findings, "than with jemalloc" in memory.seen) == ("memory", [], told_of)


@pytest.mark.parametrize(("offset", "finding"), [(0.4, ""), (90.0, "1m30s ahead of"), (-2.0, "2s behind")])
def test_clocks_that_are_apart_are_found(own_client: Client, offset: float, finding: str) -> None:
    clock = server_checks(replace(look_at(own_client.server), offset=offset), {})[4]
    assert clock.name == "clock"
    assert (finding in told(clock)) if finding else not clock.findings


def test_what_a_server_does_not_tell_is_skipped_and_not_guessed(own_client: Client) -> None:
    checks = server_checks(ServerLook({"redis_version": "7.2.4"}, {}, 0.0), {})
    skipped = {check.name for check in checks if check.verdict == "skipped"}
    assert skipped == {"eviction", "memory", "persistence", "connections"}
    assert not any(check.findings for check in checks)


def test_doctor_goes_on_where_the_server_tells_nothing() -> None:
    checks = server_checks(ServerLook({}, {}, 0.0), {"workers": 2})
    assert [check.name for check in checks if check.verdict != "skipped"] == ["clock"]
    assert "up to 2 needed" in next(check.skipped for check in checks if check.name == "connections")


def test_a_check_that_the_server_rejects_is_a_finding() -> None:
    def reject() -> Check:
        raise QueueUnavailable("the server rejected the call")

    (check,) = tried("schedules", reject)
    assert told(check) == "it could not be checked: the server rejected the call -> Run this again."


# The fleet


def test_jobs_of_a_type_that_no_worker_knows_are_found(client: Client) -> None:
    client.enqueue("math", {})
    client.enqueue("email", {}, delay="1h")
    client.enqueue("report", {}, queue="slow")
    show_fleet(client)
    workers, types = worker_checks(client)
    assert not workers.findings
    assert "jobs of type 'email' are waiting, and no worker on queue 'default' knows 'email' -> Start one with" in told(
        types
    )
    assert "jobs of type 'report' are waiting, and no worker serves 'report' on queue 'slow'" in told(types)
    assert "gopherctl worker --queues slow" in told(types)
    assert len(types.findings) == 2


def test_jobs_whose_workers_fetch_no_more_of_them_are_found(client: Client) -> None:
    client.enqueue("math", {})
    show_fleet(client, state="quiet")
    _, types = worker_checks(client)
    assert told(types) == (
        "jobs of type 'math' are waiting, and all workers that run 'math' from queue 'default' are quiet or stopping"
        " -> Start another with `gopherctl worker`."
    )


def test_processes_of_another_build_are_found_whatever_they_are(client: Client) -> None:
    show_fleet(client)
    assert told(release_check(client)) == ""
    assert release_check(client).seen == f"{__version__} build {fingerprint()}, protocol {PROTOCOL}"
    show_fleet(client, build="abc1234")
    assert f"{__version__} build abc1234: seen-1-abc" in told(release_check(client))
    show_fleet(client)
    keys, redis = client.server.keys, client.server.client
    redis.zadd(keys.releases, {f"API {__version__} def5678": client.inspector.now() + 60_000})
    assert f"{__version__} build def5678: API" in told(release_check(client))
    redis.zadd(keys.releases, {f"API {__version__} def5678": client.inspector.now() - 1})
    assert told(release_check(client)) == ""


def test_processes_of_releases_that_do_not_say_their_build_are_found(client: Client) -> None:
    show_fleet(client, build="")
    keys, redis = client.server.keys, client.server.client
    redis.zrem(keys.declaring, "scheduler-1")
    said = told(release_check(client))
    assert f"{__version__} of an earlier release: seen-1-abc" in said
    assert "; of an earlier release: scheduler scheduler-1" in said.replace("several versions of Gopher: ", "; ")


def test_jobs_and_schedules_that_should_have_gone_are_found(client: Client) -> None:
    show_fleet(client)
    job_id = client.enqueue("math", {}, delay="1h")
    assert not scheduler_check(client).findings
    keys = client.server.keys.for_queue("default")
    client.server.client.zadd(keys.scheduled, {job_id: client.inspector.now() - 90_000})
    client.server.client.zadd(keys.ticks, {"nightly": client.inspector.now() - 3_600_000})
    found = told(scheduler_check(client))
    # On a busy machine it is some seconds more by now.
    assert re.search(r"queue 'default': a scheduled job is overdue by 1m[345]\ds", found)
    assert "a schedule is overdue by 1h" in found


@pytest.mark.parametrize("large", [False, True])
def test_orphaned_jobs_are_found_and_the_remedy_requeues_them(
    client: Client, worker: SeedingWorker, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(fleet_checks, "_BETWEEN", 0.01)
    monkeypatch.setattr(fleet_checks, "_FEW", 0 if large else 100)
    job_id = client.enqueue("math", {})
    worker.fetch()
    server, keys = client.server.client, client.server.keys.for_queue("default")
    assert not orphan_check(client, deep=False).findings
    server.zrem(keys.workers, worker.name)
    (finding,) = orphan_check(client, deep=False).findings
    assert f"1 jobs are in processing:{worker.name}, and that worker is neither registered nor lost" in finding.message
    _, _, command = finding.remedy.partition("redis-cli ")
    server.execute_command(*command.replace("'", "").split())
    client.server.run(client.server.queue("default").rescue(client.inspector.now(), 0.0))
    assert client.job(job_id).status == "pending"
    assert not orphan_check(client, deep=False).findings


def test_a_record_without_a_place_is_found_also_in_a_large_queue_when_asked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_checks, "_BETWEEN", 0.01)
    monkeypatch.setattr(fleet_checks, "_FEW", 0)
    job_id = client.enqueue("math", {}, delay="1h")
    client.enqueue("math", {}, delay="1h")
    client.server.client.zrem(client.server.keys.for_queue("default").scheduled, job_id)
    check = orphan_check(client, deep=False)
    assert not check.findings
    assert check.seen == "for default only jobs held by workers were checked: --deep reads every job"
    assert f"{job_id} is scheduled and in 0 places" in told(orphan_check(client, deep=True))


def test_a_lost_worker_whose_jobs_were_not_rescued_is_found(client: Client, worker: SeedingWorker) -> None:
    keys = client.server.keys.for_queue("default")
    client.server.client.zadd(keys.workers, {worker.name: client.inspector.now() - 60_000})
    client.server.register_queues("default")
    assert f"worker {worker.name} is lost, and its jobs have not been requeued" in told(
        orphan_check(client, deep=False)
    )


def test_jobs_that_run_for_longer_than_they_may_are_found(client: Client, worker: SeedingWorker) -> None:
    ids = [client.enqueue("math", {}, timeout=timeout) for timeout in ("1m", "5m")]
    worker.fetch(2)
    check = running_check(client)
    assert (check.seen, check.findings) == ("2 jobs", [])
    settings = client.settings
    allowed = settings.worker_kill_grace + settings.worker_lease
    began = client.inspector.now() - round((allowed + 90) * 1000)
    for job_id in ids:
        client.server.client.hset(client.server.keys.for_queue("default").job(job_id), "started", began)
    (finding,) = running_check(client).findings
    # On a busy machine it is some seconds more by now.
    assert re.search(rf"queue 'default': job {ids[0]} should have ended [345]\d(\.\d)?s ago", finding.message)
    assert worker.name in finding.remedy


def test_the_look_for_jobs_that_run_too_long_is_bounded(client: Client, worker: SeedingWorker) -> None:
    for _ in range(60):
        client.enqueue("math", {}, timeout="1s")
    jobs = worker.fetch(60)
    keys = client.server.keys.for_queue("default")
    for job in jobs:
        client.server.client.hset(keys.job(job.id), "started", 0)
    found = client.inspector.stuck("default")
    assert len(found) == stuck.JOBS
    # Those that were begun first.
    assert {job.job_id for job in found} == {job.id for job in jobs[: stuck.JOBS]}


# What was lost


def test_records_that_went_early_and_an_emptied_server_are_found_until_that_is_acknowledged(own_client: Client) -> None:
    client, redis = own_client, own_client.server.client
    client.enqueue("email", {})
    assert data_check(client).findings == []
    redis.flushall()
    client.server.names._known.clear()
    client.enqueue("email", {})
    job_id = client.enqueue("email", {})
    client.cancel(job_id)
    assert client.server.run(client.server.queue("default").evict(10, 0, 2**52, 0.0)).records == 1
    emptied, removed = data_check(client).findings
    assert "the server was emptied" in emptied.message
    assert "queue 'default': records of finished jobs were evicted early to free memory: 1 so far" in removed.message
    assert "shorten GOPHER_RESULT_TTL" in removed.remedy
    acknowledge_losses(client)
    assert data_check(client).findings == []
    assert not any("emptied" in reason for reason in examine(client.server).reasons)
    # What was removed is still told to whoever asks for it.
    with pytest.raises(JobNotFound, match="evicted early"):
        client.job(job_id)


def test_losses_are_acknowledged_by_a_command(run: Run, client: Client) -> None:
    run("doctor", "--acknowledge")
    assert client.server.client.hget(client.server.keys.meta, "acknowledged")


def test_schedules_that_used_to_fire_at_other_times_are_found(client: Client) -> None:
    same = ["*/15 * * * *", "30 4 * * mon-fri", "0 9-17 * * *", "@daily", "0 0 L * *", "0 0 * * fri#2"]
    for number, expression in enumerate([*same, "0 9-9 * * *"]):
        client.schedules.put(
            f"s{number}", ScheduleSpec(cron_expression=expression, type="math", payload=msgspec.Raw(b"{}"))
        )
    check = schedule_check(client)
    assert (check.seen, len(check.findings)) == ("7 schedules", 1)
    assert check.findings[0].message.startswith("s6 (0 9-9 * * *) fires at ")
    assert "09:00:00" in check.findings[0].message


# Files


@pytest.fixture
def say(client: Client, monkeypatch: pytest.MonkeyPatch):
    """Report the store of an API process."""

    def say(store: str) -> None:
        monkeypatch.setattr(seen, "identity", lambda settings: store)
        monkeypatch.setattr(seen, "_said_at", float("-inf"))
        seen.say_store(client.server)

    return say


def test_one_store_for_all_processes_is_no_finding(client: Client, say) -> None:
    show_fleet(client, store="s3://bucket/a")
    say("s3://bucket/a")
    assert (store_check(client).findings, store_check(client).seen) == ([], "all processes use s3://bucket/a")


def test_folders_without_files_are_no_finding(client: Client) -> None:
    show_fleet(client)
    assert store_check(client).seen == "file: without files"


def test_a_worker_that_has_not_looked_since_the_first_file_is_waited_for(client: Client, say) -> None:
    show_fleet(client)
    say("file: 0123456789abcdef")
    later = Timer(0.5, lambda: show_fleet(client, store="file: 0123456789abcdef"))
    later.start()
    assert (store_check(client).findings, store_check(client).seen) == (
        [],
        "all processes use a folder with the id 01234567",
    )
    later.join()


@pytest.mark.parametrize("of_worker", ["", "file: 0123456789abcdef", "redis:"])
def test_stores_that_differ_are_found(client: Client, say, of_worker: str) -> None:
    # Read after the check began: it does not wait for another heartbeat.
    show_fleet(client, store=of_worker, at=client.inspector.now() + 60_000)
    say("file: fedcba9876543210")
    check = store_check(client)
    assert "processes use different stores for files" in told(check)
    assert "the worker here:1 uses" in told(check)
    assert "a folder with the id fedcba98" in told(check)
    assert "Set GOPHER_STORE to the same value everywhere" in told(check)
