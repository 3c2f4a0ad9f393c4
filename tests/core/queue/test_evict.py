"""A full server: finished jobs' records give way before anything is refused, whoever asks; nothing else does."""

import shutil
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import pytest

from gopher.admin.admission import Turnstile
from gopher.base.rates import Rate
from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import GopherError, InvalidJob, JobNotFound, QueueFull
from gopher.jobs.job import new_job_id
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue import evict
from gopher.queue.evict import Evictor, Memory, read_memory
from gopher.queue.evict import _Head as Head
from gopher.queue.invariants import findings
from gopher.reads.health import check_writable
from gopher.server.embedded import EmbeddedServer
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

#: Of what a test fills the server with: about 2 KiB a record.
PAYLOAD = {"text": "x" * 1500}


@pytest.fixture(scope="module")
def own_url():
    folder = Path(tempfile.mkdtemp(prefix="gopher-full-"))
    try:
        with EmbeddedServer(folder, options={"appendonly": "no"}) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def client(own_url):
    with Client(own_url, auto_pipelining=True) as client:
        yield client
        client.server.client.config_set("maxmemory", 0)
        for name in client.server.queues():
            assert findings(client.server.client, client.server.keys.for_queue(name)) == []
        client.server.client.flushall()


@pytest.fixture(autouse=True)
def no_record_is_too_young(monkeypatch):
    """That records stay for some seconds has tests of its own: here they may go at once."""
    monkeypatch.setattr(evict, "KEPT", 0.0)
    monkeypatch.setattr(evict, "KEPT_IN_ANY_CASE", 0.0)


def finish(client, count=1500, queue="default"):
    """Have jobs completed; return their ids, the oldest first."""
    # With connections of its own: what the server holds for large calls on them counts as used memory too.
    with Client(client.settings.redis_url) as seeding:
        ids = seeding.enqueue_many({"type": "t", "payload": PAYLOAD, "queue": queue} for _ in range(count))
        worker = SeedingWorker(seeding, queue)
        for _ in range(0, count, 500):
            worker.complete(worker.fetch(500))
    return ids


def memory(client):
    found = client.server.evictor.memory("gopher:queues")
    assert found is not None
    return found


def fill(client, beyond=0):
    """Set the limit to what is used: the next call that takes memory is refused."""
    client.server.client.config_set("maxmemory", memory(client).used - beyond)


def evicted(client, queue="default"):
    return client.inspector.totals(queue).get("evicted", 0)


def threads_that_submit(client):
    errors = []

    def submit():
        try:
            for _ in range(5):
                client.enqueue("t", PAYLOAD)
        except GopherError as error:
            errors.append(error)

    threads = [threading.Thread(target=submit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


WRITES = {
    "a job": lambda client: client.enqueue("t", PAYLOAD),
    "a special job": lambda client: client.enqueue("t", {}, unique_key="k", delay="1h"),
    "many jobs": lambda client: client.enqueue_many({"type": "t", "payload": PAYLOAD} for _ in range(500)),
    "a batch": lambda client: client.submit_batch([b'{"type":"t","payload":{}}'], idempotency_key="k"),
    "a job in a new queue": lambda client: client.enqueue("t", {}, queue="other"),
    "many threads": threads_that_submit,
    "a schedule": lambda client: client.schedules.put(
        "s", ScheduleSpec(cron_expression="* * * * *", type="t", payload=msgspec.Raw(b"{}"))
    ),
    "a probe": lambda client: check_writable(client.server),
    "a request that is counted": lambda client: Turnstile(Rate(10, 60)).ask(client.server, "ann"),
}


@pytest.mark.parametrize("what", WRITES)
def test_room_is_made_before_it_is_refused(client, what):
    ids = finish(client)
    fill(client, 10_000)
    WRITES[what](client)
    assert evicted(client) > 0
    with pytest.raises(JobNotFound, match=r"may have been evicted early to free memory .*last done at 20"):
        client.job(ids[0])


def test_the_threads_of_a_process_do_not_make_room_each_for_itself(client):
    finish(client, 5000)
    fill(client)
    threads_that_submit(client)
    assert evicted(client) <= 3 * evict.PIECE


@pytest.fixture
def no_sizes(client):
    """Have the server not tell how large a record is."""
    client.server.client.execute_command("ACL", "SETUSER", "default", "-memory")
    yield
    client.server.client.execute_command("ACL", "SETUSER", "default", "+@all")


def test_where_sizes_may_not_be_asked_for_no_more_than_a_piece_is_removed_at_a_time(client, no_sizes):
    finish(client, 3000)
    fill(client)
    client.enqueue("t", PAYLOAD)
    assert 0 < evicted(client) <= evict.PIECE


def test_what_is_not_finished_is_never_removed(client):
    worker = SeedingWorker(client)
    ids = client.enqueue_many({"type": "t", "payload": PAYLOAD} for _ in range(300))
    running, retrying, *dead = worker.fetch(200)
    worker.retry(retrying)
    for job in dead:
        worker.dead_letter(job)
    later = client.enqueue("t", {}, delay="1h")
    # More than the buffers of connections that the server gives back later.
    fill(client, 500_000)
    with pytest.raises(QueueFull):
        client.enqueue("t", PAYLOAD)
    client.server.client.config_set("maxmemory", 0)
    assert all(client.job(job_id) for job_id in [*ids, later])
    assert client.stats().queues["default"].failed == len(dead)
    assert evicted(client) == 0
    assert client.job(running.id).status == "processing"


def test_once_nothing_is_left_that_may_go_it_is_refused_as_before(client):
    finish(client, 600)
    client.enqueue_many({"type": "t", "payload": PAYLOAD} for _ in range(2000))
    fill(client, 2_000_000)
    with pytest.raises(QueueFull):
        # What has been removed may make room for some.
        client.enqueue_many({"type": "t", "payload": PAYLOAD} for _ in range(50_000))
    # Another refusal costs hardly anything.
    before = client.server.client.info("stats")["total_commands_processed"]
    with pytest.raises(QueueFull):
        client.enqueue("t", PAYLOAD)
    assert client.server.client.info("stats")["total_commands_processed"] - before < 20


def test_nothing_is_removed_for_a_limit_that_no_server_could_keep(client):
    finish(client, 600)
    client.server.client.config_set("maxmemory", 1)
    with pytest.raises(QueueFull):
        client.enqueue("t", PAYLOAD)
    assert evicted(client) == 0


def test_the_oldest_of_all_queues_go_first(client):
    client.server.client.config_set("maxmemory", 0)
    made = []
    for _ in range(12):
        made += [(queue, job_id) for queue in ("a", "b", "c") for job_id in finish(client, 60, queue)]
        ended = client.inspector.now()
        wait_until(lambda ended=ended: client.inspector.now() > ended + 1)
    fill(client, 5000)
    client.enqueue("t", {})
    kept = [client.inspector.state(queue, job_id) is not None for queue, job_id in made]
    assert not kept[0]
    assert kept == sorted(kept)
    assert 250 <= kept.count(False) <= 1000


def test_of_many_queues_those_with_the_oldest_records_are_compared(client, monkeypatch):
    monkeypatch.setattr(evict, "_QUEUES", 3)
    made = [(f"q{at}", job_id) for at in range(8) for job_id in finish(client, 20, f"q{at}")]
    fill(client, 20_000)
    client.enqueue("t", {})
    kept = [client.inspector.state(queue, job_id) is not None for queue, job_id in made]
    assert not kept[0]
    assert kept == sorted(kept)


@pytest.mark.parametrize("queues", [1, 3])
def test_a_clock_that_is_behind_the_servers_does_not_have_records_go_one_by_one(client, queues):
    ahead = round(time.time() * 1000) + 3_600_000
    for number in range(queues):
        finished = client.server.keys.for_queue(f"q{number}").finished
        client.server.client.zadd(finished, {new_job_id(): ahead + 10 * place for place in range(100)})
    heads = [Head(ahead, f"q{number}") for number in range(queues)]
    until = client.server.evictor._cut(heads, 100)
    assert until >= ahead + 10 * (100 // queues // 2)


def test_results_that_waiting_jobs_will_read_stay_however_many_they_are(client):
    parents = finish(client, 1200)
    children = client.enqueue_many({"type": "t", "payload": {}, "after": [parent]} for parent in parents)
    other = client.enqueue("t", PAYLOAD)
    client.cancel(other)
    fill(client, 100)
    client.enqueue("t", {})
    assert evicted(client) == 1
    jobs = SeedingWorker(client).fetch(1200)
    assert [job.id for job in jobs] == children
    assert all(job.parents == {parent: b'{"ok":true}'} for job, parent in zip(jobs, parents, strict=True))


def test_a_removed_job_to_wait_for_is_reported_as_removed(client):
    (gone, *_) = finish(client, 600)
    fill(client, 1000)
    client.enqueue("t", {})
    client.server.client.config_set("maxmemory", 0)
    with pytest.raises(InvalidJob, match="to wait for: it may have been evicted early"):
        client.enqueue("t", {}, after=[gone])
    with pytest.raises(InvalidJob, match="to wait for: it may have been evicted early"):
        client.enqueue_many([{"type": "t", "payload": {}, "after": [gone]}, {"type": "t", "payload": {}, "queue": "b"}])


def test_a_job_that_never_was_is_not_said_to_have_been_removed(client):
    finish(client, 600)
    fill(client, 1000)
    client.enqueue("t", {})
    for job_id in (new_job_id(), "nope"):
        with pytest.raises(JobNotFound) as error:
            client.job(job_id)
        assert "early" not in str(error.value)


def test_records_stay_a_while_and_the_call_waits_for_them(client, monkeypatch):
    """So that a repeat of what stored a job still finds it, and so does whoever waits for its end."""
    monkeypatch.setattr(evict, "KEPT", 5.0)
    monkeypatch.setattr(evict, "KEPT_IN_ANY_CASE", 0.7)
    ids = finish(client, 400)
    finished_at = from_rfc3339(client.job(ids[0]).finished_at)
    fill(client, 100_000)
    client.enqueue("t", {})
    assert client.inspector.now() - finished_at >= 500
    assert client.inspector.state("default", ids[0]) is None


def test_a_finished_job_is_seen_by_a_client_that_waits_for_it(client, monkeypatch):
    # Longer than even on a busy machine the client takes to look.
    monkeypatch.setattr(evict, "KEPT_IN_ANY_CASE", 1.5)
    finish(client, 600)
    job_id = client.enqueue("t", {})
    found = []
    waiter = threading.Thread(target=lambda: found.append(client.wait(job_id, 60.0)))
    waiter.start()
    worker = SeedingWorker(client)
    worker.complete(worker.fetch())
    fill(client, 1000)
    client.enqueue("t", {})
    waiter.join()
    assert [view.status for view in found] == ["completed"]


# Ahead of that


def test_the_scheduler_keeps_below_nine_tenths(client):
    finish(client, 3000)
    evictor, limit = client.server.evictor, round(memory(client).used / 0.95)
    client.server.client.config_set("maxmemory", limit)
    wait_until(lambda: evictor.keep_below("gopher:queues") > 0)
    assert memory(client).used < evict.FULL * limit
    assert memory(client).used > (evict.ENOUGH - 0.15) * limit
    removed = evicted(client)
    assert 0 < removed < 3000
    assert 0 < evictor.keep_below("gopher:queues") < 2
    assert evicted(client) == removed


def test_without_a_limit_the_scheduler_hardly_asks_and_removes_nothing(client):
    finish(client, 600)
    assert client.server.evictor.keep_below("gopher:queues") == evict.NO_LIMIT_PERIOD
    assert evicted(client) == 0


def scripted(memories, replies):
    """Return a evictor of a server that tells these figures of its memory, one after the other."""

    def exchange(calls):
        if calls[0].verb == "INFO":
            used, limit = memories.pop(0) if len(memories) > 1 else memories[0]
            return [f"used_memory:{used}\r\nmaxmemory:{limit}\r\n".encode()]
        if calls[0].verb == "evict":
            replies.append(1)
            return [call.read([500, 350_000, 0, 0]) for call in calls]
        return [[b"x", b"1"] for _ in calls]

    return Evictor(exchange, Client(settings=Settings()).server.keys, lambda key: ["default"])


def test_removing_ends_when_it_does_not_lower_the_memory():
    passes: list[int] = []
    evictor = scripted([(950_000, 1_000_000)], passes)
    pauses = [evictor.keep_below("k") for _ in range(20)]
    assert len(passes) == evict.STRIKES
    assert pauses[-1] > 0.1


def test_what_other_calls_use_up_at_once_is_not_taken_for_useless():
    passes: list[int] = []
    evictor = scripted([(1_000_000, 1_000_000)], passes)
    for _ in range(10):
        assert all(evictor.make_room("k", before) for before in range(evict.TELLING))
    assert len(passes) >= 10 * evict.TELLING


def test_a_call_that_is_refused_however_much_was_removed_ends_the_removing():
    passes: list[int] = []
    evictor = scripted([(1_000_000, 1_000_000)], passes)
    assert [evictor.make_room("k", before) for before in range(8)] == [True] * 5 + [False] * 3


def test_a_server_that_does_not_tell_its_memory_is_made_room_on_all_the_same():
    passes: list[int] = []
    evictor = scripted([("", "")], passes)
    assert evictor.keep_below("k") == evict.NO_LIMIT_PERIOD
    assert evictor.make_room("k")
    assert passes == [1]


@pytest.mark.parametrize(
    ("reply", "memory"),
    [
        (
            b"used_memory:10\r\nmaxmemory:20\r\nmem_not_counted_for_evict:3\r\nused_memory_startup:2\r\n",
            Memory(7, 20, 2),
        ),
        (b"# Memory\r\nused_memory:10\r\nmaxmemory:20\r\n", Memory(10, 20, 0)),
        (b"used_memory:10\r\n", None),
        (b"", None),
        (ValueError("NOPERM"), None),
    ],
)
def test_what_info_says_is_read(reply, memory):
    assert read_memory(reply) == memory
