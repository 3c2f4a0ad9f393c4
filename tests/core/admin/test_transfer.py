"""What an export has of an installation, and what an import makes of it elsewhere."""

import io
import json
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from gopher.admin.transfer.export_file import ExportFile, Tell, export_to
from gopher.admin.transfer.exporter import Exporter, Position, new_header
from gopher.admin.transfer.importer import Imported, Importer
from gopher.admin.transfer.lines import encode
from gopher.base.priorities import PRIORITIES
from gopher.client import Client
from gopher.errors import QueueFull
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.webhooks import WebhookRequest
from gopher.queue.webhooks import note_delivery, receiver_of
from gopher.server.embedded import EmbeddedServer
from tests.seeding import SeedingWorker

NOTHING = ("finished",)


def exported(client: Client, *without: str) -> bytes:
    stream = io.BytesIO()
    export_to(client.server, stream, client.server.queues(), without, lambda jobs, ids: None)
    return stream.getvalue()


def imported(client: Client, lines: bytes, **options: bool) -> Imported:
    return Importer(client.server, **options).run(io.BytesIO(lines), lambda jobs, end: None)


def record(client: Client, job_id: str, queue: str = "default") -> dict[str, str]:
    found = client.server.client.hgetall(client.server.keys.for_queue(queue).job(job_id))
    return {name.decode(): value.decode() for name, value in found.items()}


def test_jobs_arrive_in_the_order_in_which_they_would_have_run(source: Client, target: Client) -> None:
    ids = {p: [source.enqueue("email", {"n": n}, priority=p) for n in range(3)] for p in PRIORITIES}
    before = [target.enqueue("email", {}, priority=p) for p in PRIORITIES]
    result = imported(target, exported(source))
    assert result.imported == {"job": 9}
    worker = SeedingWorker(target)
    expected = [each for number, p in enumerate(PRIORITIES) for each in (before[number], *ids[p])]
    assert [job.id for _ in range(12) for job in worker.fetch()] == expected


def test_a_repeat_stores_nothing_even_if_the_jobs_are_gone(source: Client, target: Client) -> None:
    source.enqueue("email", {}, retention=0)
    lines = exported(source)
    imported(target, lines)
    worker = SeedingWorker(target)
    worker.complete(worker.fetch())
    again = imported(target, lines)
    assert (again.imported, again.skipped) == ({}, {"repeated": 1})
    assert worker.fetch() == []


def test_every_state_and_option_arrives(source: Client, target: Client) -> None:
    worker = SeedingWorker(source)
    dead = source.enqueue("email", {})
    worker.dead_letter(worker.fetch()[0], "ValueError", "shop/mail.py:42 send")
    retrying = source.enqueue("email", {})
    worker.retry(worker.fetch()[0])
    done = source.enqueue("email", {})
    worker.complete(worker.fetch(), b'{"sent":12345678901234567890123}')
    running = source.enqueue("email", {})
    worker.fetch()
    late = source.enqueue("report", {"x": "\u00e9"}, delay=3600, unique_key="r", tags=["a"], limit_key="ann")
    held = source.enqueue("email", {}, max_retries=7, expires_in=600)
    before = {each: record(source, each) for each in (dead, retrying, done, running, late, held)}

    assert imported(target, exported(source)).imported == {"job": 6}

    after = {each: record(target, each) for each in before}
    assert after[dead] == {name: value for name, value in before[dead].items() if name not in ("token", "settled")}
    views = {each: target.job(each) for each in before}
    states = {each: view.status for each, view in views.items()}
    assert list(states.values()) == ["failed", "retrying", "completed", "pending", "scheduled", "pending"]
    assert bytes(views[done].result) == b'{"sent":12345678901234567890123}'
    assert after[retrying]["due"] == before[retrying]["due"]
    assert (after[running]["attempts"], after[running]["lost"]) == ("1", "1")
    assert json.loads(after[running]["history"])["outcome"] == "lost"
    assert after[late]["due"] == before[late]["due"]
    assert target.enqueue("report", {}, unique_key="r") == late
    assert after[held]["expires"] == before[held]["expires"]
    assert "plain" not in after[held]
    assert target.dead_letters.groups() == source.dead_letters.groups()


def test_dependents_wait_for_the_same_jobs_in_whichever_order_they_come(source: Client, target: Client) -> None:
    worker = SeedingWorker(source)
    grandparent = source.enqueue("email", {})
    ended = source.enqueue("email", {})
    parent = source.enqueue("email", {}, after=[grandparent])
    child = source.enqueue("email", {}, after=[parent, ended])
    alone = source.enqueue("email", {}, after=[ended])
    worker.retry(worker.fetch()[0], 3600.0)
    worker.complete(worker.fetch(), b'"result"')
    imported(target, exported(source, *NOTHING))
    assert {each: target.job(each).status for each in (parent, child, alone)} == {
        parent: "scheduled", child: "scheduled", alone: "pending",
    }  # fmt: skip
    assert target.job(ended).status == "completed"
    there = SeedingWorker(target)
    (job,) = there.fetch()
    assert (job.id, job.parents) == (alone, {ended: b'"result"'})
    target.cancel(grandparent)
    assert [target.job(each).status for each in (parent, child)] == ["failed", "failed"]


def test_schedules_limits_pauses_requests_and_api_keys_arrive(source: Client, target: Client) -> None:
    source.submit_batch([b'{"type":"email","payload":{}}'], idempotency_key="k1")
    source.schedules.put("nightly", ScheduleSpec("0 3 * * *", "email", msgspec.Raw(b"{}"), timezone="Europe/Berlin"))
    source.flow.set_limit("email", "5/s", None, 3)
    source.flow.pause_type("report")
    source.flow.pause_queue("default")
    source.keys.create("shop")
    lines = exported(source)
    result = imported(target, lines)
    assert result.imported == {"job": 1, "queue": 1, "schedule": 1, "limit": 2, "request": 1, "api_key": 1}
    assert result.paused == ["default"]
    assert target.submit_batch([b'{"type":"email","payload":{}}'], idempotency_key="k1")[0].replayed
    assert target.schedules.get("nightly") == source.schedules.get("nightly")
    limits = {(view.type, view.rate, view.concurrency, view.paused) for view in target.flow.limits()}
    assert limits == {("email", "5/s", 3, False), ("report", None, None, True)}
    assert target.flow.paused_queues() == ["default"]
    assert [view.name for view in target.keys.all()] == ["shop"]
    target.flow.resume_queue("default")
    again = imported(target, lines)
    assert (again.imported, again.skipped) == ({}, {"repeated": 7})
    assert target.flow.paused_queues() == []


def test_tenants_and_webhooks_arrive_with_their_secrets(source: Client, target: Client) -> None:
    source.enqueue("email", {})
    source.flow.set_tenant("shop", 3, "50/s", None, 10)
    source.flow.set_tenant("blog", 2)
    created = source.webhooks.create("https://example.com/hook", events=["failed"], queues=["default"])
    disabled = source.webhooks.create("https://example.com/gone").webhook_id
    note_delivery(source.server, disabled, "gone")
    secret = source.webhooks.secret()
    target.flow.set_tenant("blog", 7)
    lines = exported(source)
    result = imported(target, lines)
    assert result.imported == {"job": 1, "tenant": 1, "webhook": 3}
    assert (result.skipped, result.kept) == ({"kept": 1}, ["tenant blog"])
    assert [view for view in target.flow.tenants() if view.tenant == "shop"] == [
        view for view in source.flow.tenants() if view.tenant == "shop"
    ]
    shown = [msgspec.structs.replace(view, failures=0) for view in source.webhooks.all()]
    assert target.webhooks.all() == shown
    assert receiver_of(target.server, created.webhook_id).secrets == [created.secret]
    assert target.webhooks.secret() == secret
    # The queue, which came after them, tells what they are subscribed to.
    assert target.server.client.hgetall(target.server.keys.for_queue("default").subscribed)
    other = target.webhooks.replace(created.webhook_id, WebhookRequest("https://example.com/other"))
    source.webhooks.replace(created.webhook_id, WebhookRequest("https://example.com/new"))
    assert imported(target, exported(source)).kept == [f"webhook {created.webhook_id}"]
    assert target.webhooks.get(created.webhook_id) == other


def test_a_full_server_stops_an_import_which_continues_once_there_is_room(source: Client) -> None:
    source.enqueue_many({"type": "email", "payload": {"text": "x" * 20_000}} for _ in range(1000))
    lines = exported(source)
    # Not pytest's own folder: its path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="gopher-full-") as folder:
        options = {"maxmemory": "12mb", "appendonly": "no"}
        with EmbeddedServer(folder, options=options) as server, Client(server.url, namespace="full") as target:
            importer = Importer(target.server)
            with pytest.raises(QueueFull):
                importer.run(io.BytesIO(lines), lambda jobs, end: None)
            assert 100 < importer.result.imported["job"] < 900
            assert len(exported(target)) > 2**20
            target.server.client.config_set("maxmemory", 0)
            rest = imported(target, lines)
            assert rest.skipped == {"repeated": importer.result.imported["job"]}
            assert target.stats().total_enqueued == 1000


def test_an_export_starts_again_if_its_copies_are_gone(source: Client, tmp_path: Path) -> None:
    jobs = [source.enqueue("email", {}) for _ in range(1200)]
    server, path = source.server, tmp_path / "jobs"
    for is_kept in (True, False):
        with pytest.raises(KeyboardInterrupt):
            ExportFile(server, path, ["default"], ["finished"]).write(interrupted_after(1))
        if not is_kept:
            for key in server.client.scan_iter(match=f"{server.keys.namespace}:*snapshot:*"):
                server.client.delete(key)
        result = ExportFile(server, path, ["default"], ["finished"]).write(lambda jobs, ids: None)
        assert (result.jobs, result.continued_from) == (1200, 1 if is_kept else 0)
        found = [json.loads(line)["id"] for line in path.read_bytes().splitlines() if b'"kind":"job"' in line]
        assert found == jobs


def test_an_export_that_is_killed_after_any_of_its_pages_leaves_no_copies(source: Client) -> None:
    for queue in ("default", "mail"):
        source.enqueue("email", {}, queue=queue)
    queues, most = source.server.queues(), 20
    for kept in range(most):
        header = new_header(source.server, queues, [])
        killed = Exporter(source.server, header, Position(), Counter()).pages()
        pages = list(islice(killed, kept + 1))
        if len(pages) <= kept:
            break
        list(Exporter(source.server, header, pages[-1].position, Counter()).pages())
        assert list(source.server.client.scan_iter(match=f"{source.server.keys.namespace}:*copied*")) == []
    assert 5 < kept < most - 1


def interrupted_after(count: int) -> Tell:
    def tell(jobs: int, ids: int) -> None:
        if jobs >= count:
            raise KeyboardInterrupt

    return tell


def test_records_that_are_not_text_and_unknown_fields_are_kept(source: Client, target: Client) -> None:
    job_id = source.enqueue("email", {})
    key = source.server.keys.for_queue("default").job(job_id)
    source.server.client.hset(key, mapping={"later": b"\xff\x00", "envelope": b'{"payload":"\xff"}'})
    imported(target, exported(source))
    stored = target.server.client.hgetall(target.server.keys.for_queue("default").job(job_id))
    assert (stored[b"later"], stored[b"envelope"]) == (b"\xff\x00", b'{"payload":"\xff"}')


def test_a_corrupt_record_is_a_line_that_is_skipped(source: Client, target: Client) -> None:
    ids = [source.enqueue("email", {}) for _ in range(3)]
    keys = source.server.keys.for_queue("default")
    source.server.client.set(keys.job(ids[1]), "x")
    source.server.client.hdel(keys.job(ids[2]), "type")
    result = imported(target, exported(source))
    assert (result.imported, result.skipped) == ({"job": 1}, {"corrupt": 2})


def test_what_is_there_is_kept(source: Client, target: Client) -> None:
    for client, cron, rate in ((source, "0 3 * * *", "5/s"), (target, "0 4 * * *", "9/s")):
        client.enqueue("email", {})
        client.schedules.put("nightly", ScheduleSpec(cron, "email", msgspec.Raw(b"{}")))
        client.flow.set_limit("email", rate, None, None)
    result = imported(target, exported(source))
    assert result.kept == ["limit of email", "schedule nightly"]
    assert target.schedules.get("nightly").cron_expression == "0 4 * * *"
    assert [view.rate for view in target.flow.limits()] == ["9/s"]
    (entry,) = [entry for entry in target.audit(limit=20).entries if entry.action == "import"]
    assert entry.count == 1


def test_the_invariants_hold_while_jobs_are_exported_and_imported_and_move(source: Client, target: Client) -> None:
    """Every page of an export is read between other moves, and every batch is imported between others."""
    worker = SeedingWorker(source)
    parents = [source.enqueue("email", {}, unique_key=f"k{number}") for number in range(30)]
    children = [source.enqueue("email", {}, after=parents[at : at + 3]) for at in range(25)]
    lines: list[bytes] = []
    exporter = Exporter(source.server, new_header(source.server, ["default"], []), Position(), Counter())
    for page in exporter.pages():
        lines += [encode(line) + b"\n" for line in page.lines]
        for job in worker.fetch(2):
            worker.complete([job], b"1")
    there = SeedingWorker(target)

    def moves(jobs: int, end: int) -> None:
        for job in there.fetch(1):
            there.complete([job], b"2")

    result = Importer(target.server).run(io.BytesIO(b"".join(lines)), moves)
    assert result.imported["job"] == 55
    while jobs := there.fetch(50):
        there.complete(jobs, b"3")
        target.server.run(target.server.queue("default").promote())
    assert {target.job(each).status for each in (*parents, *children)} == {"completed"}
