"""The drawing of the key space in keys.py, held against the keys of a real run."""

import io
import re
from pathlib import Path

import pytest

from gopher.admin.admission import Turnstile
from gopher.base.priorities import PRIORITIES
from gopher.base.rates import Rate
from gopher.base.states import Kind, State
from gopher.client import Client
from gopher.errors import NotReplicated
from gopher.files.seen import say_store
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue import keys as keys_module
from gopher.queue.announcing import Announcer
from gopher.queue.arguments import Request
from gopher.queue.bounds import Bounds
from gopher.queue.commands import StackAnswer, answer_stack
from gopher.queue.keys import INSTALLATION_KEYS, QUEUE_KEYS, Keys
from gopher.queue.presence import show_scheduler, show_worker
from gopher.queue.releases import show_release
from gopher.queue.transfer_moves import ArrivingJob
from tests.seeding import SeedingWorker

#: ("P", "pending:<priority>") -> "list"
DRAWN = {
    (head, drawn.shape): drawn.kind
    for head, keys in (("<ns>:", INSTALLATION_KEYS), ("P", QUEUE_KEYS))
    for drawn in keys.values()
}


def pattern(drawn):
    """Return what a drawn key looks like, e.g. `pending:<priority>` as `pending:(high|...)`."""
    parts = re.split(r"(<\w+>)", drawn)
    texts = {"<priority>": f"({'|'.join(PRIORITIES)})", "<bucket>": r"[^:/]+(/.+)?", "<name>": ".+", "<place>": ".+"}
    return "".join(texts.get(part, "[^:]+") if part.startswith("<") else re.escape(part) for part in parts)


@pytest.fixture
def client(redis_url, namespace, monkeypatch):
    # Files are on the server, too.
    monkeypatch.setenv("GOPHER_STORE", "redis:")
    with Client(redis_url, namespace=namespace) as client:
        yield client


def live_through_everything(client):  # noqa: PLR0915 - one step after the other
    """Yield again and again while jobs go through every state, and operators through every command."""
    queue, server, worker = client.server.queue("default"), client.server, SeedingWorker(client)
    for command in show_worker(server.keys, worker.name, b"{}", client.inspector.now(), 60.0):
        server.client.execute_command(*command.words)
    shown = show_release(server.keys, "scheduler", client.inspector.now())
    for command in (shown, *show_scheduler(server.keys, "s1", client.inspector.now(), 60.0)):
        server.client.execute_command(*command.words)
    registry = Registry()
    handler("elsewhere", into=registry, queue="images")(lambda job, payload: None)
    for command in Announcer(registry, 600.0, ["images"]).show(server.keys, worker.name, client.inspector.now()):
        server.client.execute_command(*command.words)
    server.run(queue.announce(["limit:image"]))
    server.register_queues("default")
    Turnstile(Rate(10, 60)).ask(server, "ann")
    client.keys.create("ann")
    with pytest.raises(NotReplicated):
        client.enqueue("email", {}, delay="1h", durability="replicated")
    client.enqueue("email", {}, delay="1h", files={"file": client.files.upload(b"content", "a.txt").file_id})
    client.files.keep("ann", io.BytesIO(b"content"), 7, "a.txt", "text/plain")
    say_store(server)
    ids = [client.enqueue("email", {}, priority=priority) for priority in PRIORITIES for _ in range(2)]
    yield
    for _ in range(2):
        client.enqueue("email", {}, delay="1h", unique_key="user:1", unique_mode="replace")
    server.run(queue.enqueue([NewJob(new_job_id(), "email", b"{}")], bounds=Bounds("all", "", "ann", "9")))
    retried, failed, held, done = worker.fetch(4)
    worker.retry(retried)
    worker.dead_letter(failed)
    client.cancel(held.id)
    client.dead_letters.retry_gradually(rate="1/h")
    client.enqueue("email", {}, delay="1h", job_id="7cf813b9-a2fd-4390-826c-fe1438978155")
    client.waiting.cancel_matching(job_type="sms")
    server.run(queue.depart(client.enqueue("email", {}, delay="1h"), "images", "m"))
    parent = client.enqueue("email", {}, delay="1h")
    client.enqueue_many({"type": "email", "payload": {}, "after": [parent]} for _ in range(201))
    client.cancel(parent)
    yield
    server.run(queue.throttle(worker.name, held.id, held.token, 60.0))
    worker.complete([done])
    client.enqueue("email", {}, delay="1h", after=[done.id])
    client.cancel(ids[-1])
    server.run(
        queue.enqueue([NewJob(new_job_id(), "email", b"{}", unique_key="user:1")], Request("key", "digest", "1"))
    )
    yield
    with client.batch() as batch:
        batch.enqueue("email", {}, delay="1h")
    server.run(queue.enqueue([NewJob(new_job_id(), "email", b"{}", tells=("batch mail b1",))]))
    waiting = [
        NewJob(new_job_id(), "email", b"{}", after=(each,), remote_parents=((each, "mail"),)) for each in ("p1", "p2")
    ]
    server.run(queue.enqueue(waiting))
    server.run(queue.release_children("p1", "completed", "1", 60_000))
    yield
    server.run(queue.set_limit("image", 0.001, 1.0, 1))
    for _ in range(3):
        client.enqueue("image", {}, limit_key="tenant:7")
    client.enqueue("image", {})
    (keyed, *_others) = worker.fetch(10)
    yield
    worker.throttle(keyed)
    client.flow.set_tenant("ann", concurrency=1)
    client.flow.set_tenant("bob", weight=3)
    for tenant in ("ann", "ann", *["bob"] * 6):
        client.enqueue("math", {}, priority="high", tenant=tenant)
    # The one rests, and the other is within a turn.
    worker.fetch(4)
    yield
    server.run(queue.set_schedule("nightly", b"{}", 1))
    server.run(queue.set_schedule("hourly", b"{}", 1))
    server.run(queue.delete_schedule("hourly"))
    server.run(queue.tick("nightly", b"{}", 1, 2, [NewJob(new_job_id(), "report", b"{}")]))
    server.run(queue.pause())
    webhook_id = client.webhooks.create("https://example.com/hook").webhook_id
    client.webhooks.test(webhook_id)
    client.cancel(client.enqueue("email", {}))
    yield
    client.webhooks.delete(webhook_id)
    server.run(queue.heartbeat("w2", 60.0, first=True))
    server.run(queue.command("w2", "quiet"))
    command = answer_stack(queue.keys, new_job_id(), StackAnswer(problem="none"))
    server.client.execute_command(*command.words)
    yield
    server.run(queue.resign("w2"))
    server.run(queue.rescue(1, 1.0))
    server.client.hset(server.keys.for_queue("default").tombstones, "low", 1)
    server.run(queue.sample())
    server.client.sadd(server.keys.for_queue("default").corrupt, "id")
    server.run(queue.evict(1, 0, client.inspector.now(), 0.0))
    waiting = ArrivingJob(
        new_job_id(), "email", "low", "scheduled", 0, "", "", new_job_id(), "", "", (b"envelope", b"{}")
    )
    server.run(queue.store_jobs("digest", [waiting]))
    server.run(queue.take_snapshot("s1", with_finished=True))
    # What is there for a moment only, and what schedulers write.
    server.client.set(server.keys.for_queue("default").registering, 1)
    server.client.zadd(server.keys.leaving, {"mail": 1})
    server.client.hincrby(server.keys.forgotten, "enqueued:email:high", 1)
    server.client.set(server.keys.unserved, b"{}")
    server.client.set(server.keys.sweeping, "1")
    yield


def found_in(client, namespace):
    """Return the keys of the installation with their types."""
    redis = client.server.client
    return {key.decode(): redis.type(key).decode() for key in redis.scan_iter(match=f"{namespace}:*", count=10_000)}


def test_every_key_of_a_real_run_is_drawn_and_every_key_that_is_drawn_is_met(client, namespace):
    met = {}
    for _ in live_through_everything(client):
        met |= found_in(client, namespace)
    seen = set()
    for key, kind in met.items():
        queue = re.match(rf"{namespace}:\{{\w+\}}:", key)
        head = "P" if queue else "<ns>:"
        name = key.removeprefix(queue[0] if queue else f"{namespace}:")
        fitting = [drawn for drawn in DRAWN if drawn[0] == head and re.fullmatch(pattern(drawn[1]), name)]
        assert fitting, f"{key} is not drawn in keys.py"
        assert kind in {DRAWN[drawn] for drawn in fitting}, f"{key} is a {kind}"
        seen |= set(fitting)
    # Nobody but the call that stores a batch ever sees what its records are copies of; the rest is the API's.
    of_api = {("<ns>:", name) for name in ("audit_of_others", "session:<digest>", "known_address:<digest>")}
    of_earlier_versions = {("P", "histogram:<type>")}
    assert set(DRAWN) == seen | of_api | of_earlier_versions | {("P", "new:<kind>")}


def test_each_state_with_a_sorted_set_of_its_own_has_a_key_of_its_name():
    of_states = {state for state in State if state.kind in (Kind.TIMED, Kind.DEAD)}
    assert of_states <= set(QUEUE_KEYS)
    assert not ({*State} - of_states) & set(QUEUE_KEYS) - {State.PENDING, State.PROCESSING}
    keys = Keys("ns").for_queue("mail")
    assert all(keys.of_state(state) == getattr(keys, state) for state in of_states)


def test_every_key_is_named_like_its_attribute():
    keys = Keys("ns").for_queue("mail")
    for name, drawn in QUEUE_KEYS.items():
        made = getattr(keys, name)
        parts = re.findall(r"<\w+>", drawn.shape)
        assert (made(*parts) if parts else made) == f"ns:{{mail}}:{drawn.shape}"
        assert getattr(keys, name) is made
        assert name == drawn.shape.partition(":")[0] or (name, drawn.head) == ("parked", "throttled:")


def test_keys_of_one_queue_share_a_slot_and_name_their_parts():
    keys = Keys("ns").for_queue("mail")
    assert keys.pending("high") == "ns:{mail}:pending:high"
    assert keys.processing("w1") == "ns:{mail}:processing:w1"
    assert keys.job("id") == "ns:{mail}:job:id"
    assert keys.parked("email/t", "low") == "ns:{mail}:throttled:email/t:low"
    assert keys.limit("email") == "ns:{mail}:limit:email"
    assert keys.bucket("email/t") == "ns:{mail}:bucket:email/t"
    assert keys.holding("email/t") == "ns:{mail}:holding:email/t"
    assert keys.histogram("email") == "ns:{mail}:histogram:email"
    assert keys.latencies("email") == "ns:{mail}:latencies:email"
    assert keys.timeline(10_000) == "ns:{mail}:timeline:10000"


def test_installations_do_not_share_keys():
    first, second = Keys("a"), Keys("b")
    for name, drawn in INSTALLATION_KEYS.items():
        parts = re.findall(r"<\w+>", drawn.shape)
        one, other = getattr(first, name), getattr(second, name)
        assert (one(*parts) if parts else one) != (other(*parts) if parts else other)


def test_scripts_spell_no_key_that_is_not_drawn():
    pieces = [re.compile(re.sub(r"<\w+>.*", "", piece)) for piece in QUEUE_KEYS]
    for path in (Path(keys_module.__file__).parent / "lua").rglob("*.lua"):
        for spelt in re.findall(r"P \.\. '([^']+)'", path.read_text()):
            assert any(piece.match(spelt) for piece in pieces), f"{path.name} spells {spelt}"
