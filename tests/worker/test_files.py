"""Files of jobs in real workers, with each store: fetched, attached, found by others, and removed."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, PayloadTooLarge
from gopher.files.names import job_folder, job_key, new_file_id, upload_key
from gopher.files.opening import open_store
from gopher.files.sweeping import sweep
from gopher.files.uploads import REMEMBERED, claims, use_uploads
from gopher.jobs.job import decode_envelope, new_job_id, with_field
from gopher.jobs.prepare import prepare_batch, prepare_fields
from gopher.queue.idempotency import IdempotencyMismatch, request_for, with_ids
from tests.helpers import wait_until
from tests.s3 import S3Server
from tests.seeding import SeedingWorker

CONTENT = os.urandom(700_000)


class Files:
    """A store, and jobs that are submitted with files of it."""

    def __init__(self, client: Client, environ: dict[str, str]) -> None:
        self.client, self.environ = client, environ
        self.settings = Settings.from_env({**os.environ, **environ, "REDIS_URL": client.settings.redis_url,
                                           "GOPHER_NAMESPACE": client.settings.namespace})  # fmt: skip
        self.store = open_store(self.settings)

    def upload(self, content: bytes = CONTENT, name: str = "a b.bin") -> str:
        file_id = new_file_id()
        self.store.write(upload_key("", file_id), [content], limit=10**7, name=name, content_type="image/png")
        return file_id

    def submit(self, job_type: str, payload: dict, *, files: dict[str, str]) -> str:
        """Store a job as the API does."""
        job = prepare_fields({"type": job_type, "payload": payload})
        refs = use_uploads(self.store, self.client.server, "", files, [job.id])
        envelope = with_field(job.envelope, b'"files":' + msgspec.json.encode(refs))
        self.client.store([msgspec.structs.replace(job, envelope=envelope)])
        return job.id

    def ended(self, job_id: str, status: str = "completed"):
        wait_until(lambda: self.client.job(job_id).status in ("completed", "failed"))
        job = self.client.job(job_id)
        assert job.status == status, job.error
        return job

    def content(self, job_id: str, name: str) -> bytes:
        with self.store.read(job_key(job_id, name)) as reading:
            return b"".join(reading)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("weed"))
    yield server
    server.stop()


@pytest.fixture(params=["file:", *(pytest.param(each, marks=pytest.mark.deep) for each in ("redis:", "s3:"))])
def files(request, client, tmp_path, monkeypatch):
    in_bucket = (
        request.getfixturevalue("s3").environ(prefix=client.settings.namespace) if request.param == "s3:" else {}
    )
    for name, value in in_bucket.items():
        monkeypatch.setenv(name, value)
    environ = {
        "GOPHER_STORE": request.param, **in_bucket, "GOPHER_FILES": str(tmp_path / "files"), "TMPDIR": str(tmp_path),
        "GOPHER_HANDLERS": "tests.worker.file_handlers", "MOST": "800000", "GOPHER_FILE_MAX": "800000",
    }  # fmt: skip
    files = Files(client, environ)
    yield files
    files.store.close()


def test_a_handler_gets_its_files_as_paths_and_stores_others_with_its_job(files, client, start_worker):
    start_worker(**files.environ)
    job_id = files.submit("files.copy", {}, files={"file": files.upload()})
    result = msgspec.json.decode(files.ended(job_id).result)
    assert result["names"] == ["file"]
    assert (result["name"], result["size"], result["same"]) == ("a b.bin", len(CONTENT), True)
    names = [(each.name, each.size, each.content_type) for each in files.store.list(job_folder(job_id))]
    assert names == [
        ("a b.bin", len(CONTENT), "application/octet-stream"),
        ("beginning.txt", 10, "text/plain"),
        ("copy.bin", len(CONTENT), "application/octet-stream"),
    ]
    assert files.content(job_id, "copy.bin") == CONTENT
    # What was fetched for the handler is gone with the attempt.
    assert not Path(result["path"]).exists()
    assert not Path(result["folder"]).exists()


def test_threads_of_a_handler_ask_for_its_files_at_the_same_time(files, client, start_worker):
    start_worker(**files.environ)
    job_id = files.submit("files.threads", {}, files={"file": files.upload()})
    result = msgspec.json.decode(files.ended(job_id).result)
    assert [size for _, size in result["found"]] == [len(CONTENT)]
    assert result["folders"] == 1, "they open one folder for the attempt"
    assert len(list(files.store.list(job_folder(job_id)))) == 16


@pytest.mark.deep
def test_a_child_runs_one_job_with_files_after_the_other(files, client, start_worker):
    """Connections to a store, and their threads, are no reason to replace it."""
    start_worker(**files.environ, WORKER_CONCURRENCY="1")
    jobs = [files.submit("files.copy", {}, files={"file": files.upload()}) for _ in range(3)]
    assert len({msgspec.json.decode(files.ended(each).result)["pid"] for each in jobs}) == 1


@pytest.mark.deep
def test_a_job_reads_what_its_parents_have_stored(files, client, start_worker):
    first = files.submit("files.copy", {}, files={"file": files.upload(b"one" + bytes(20))})
    second = files.submit("files.copy", {}, files={"file": files.upload(b"two" + bytes(20))})
    sheet = client.enqueue("files.sheet", {}, after=[first, second])
    start_worker(**files.environ)
    assert {found[:3] for found in msgspec.json.decode(files.ended(sheet).result).values()} == {"one", "two"}


def test_a_large_result_is_a_file_and_its_children_get_the_result(files, client, start_worker):
    large = client.enqueue("files.large", {"count": 30_000})
    small = client.enqueue("files.large", {"count": 10})
    added = client.enqueue("files.sum", {}, after=[large, small])
    start_worker(**files.environ)
    assert msgspec.json.decode(files.ended(added).result) == sum(range(30_000)) + sum(range(10))
    content = files.content(large, "result.json")
    assert msgspec.json.decode(content)["numbers"][-1] == 29_999
    reference = msgspec.json.decode(client.job(large).result)
    assert reference == {"$file": "result.json", "bytes": len(content)}
    assert list(files.store.list(job_folder(small))) == []


@pytest.fixture
def generous(files):
    """A client that stores large payloads."""
    with Client(settings=replace(files.settings, payload_max=2**20)) as client:
        yield client


LARGE = {"text": "é" * 200_000}


def test_a_large_payload_is_a_file_of_its_job_until_that_is_deleted(files, generous, start_worker):
    options = {"retention": "0s", "delay": "1h", "unique_key": "one"}
    large = generous.enqueue("files.length", LARGE)
    rows = [{"payload": LARGE, **options}, {"payload": {"text": "small"}}]
    waiting, small = generous.enqueue_many([{"type": "files.length", **row} for row in rows])
    assert generous.enqueue("files.length", LARGE, unique_key="one") == waiting
    start_worker(**files.environ)
    told = msgspec.json.decode(files.ended(large).result)
    assert told == {"length": 200_000, "refused": "payload.json is the payload of the job: give the file another name"}
    assert msgspec.json.decode(files.ended(small).result) == {"length": 5, "refused": ""}
    assert msgspec.json.decode(generous.job(large).payload) == {"$file": "payload.json", "bytes": 400_011}
    assert stored(files) == {job_key(each, "payload.json") for each in (large, waiting, small)}
    assert msgspec.json.decode(files.content(large, "payload.json")) == LARGE
    sweep(files.store, generous.server, older_than=0.0, grace=0.0)
    assert stored(files) >= {job_key(large, "payload.json"), job_key(waiting, "payload.json")}
    generous.cancel(waiting)
    sweep(files.store, generous.server, grace=0.0)
    assert stored(files) == {job_key(large, "payload.json"), job_key(small, "payload.json")}


def test_the_payload_of_a_job_that_moves_is_kept_while_the_job_is_in_neither_queue(files, generous):
    job_id = generous.enqueue("files.length", LARGE, delay="1h")
    generous.server.run(generous.server.queue("default").depart(job_id, "mails", "a-move"))
    assert generous.server.client.exists(generous.server.keys.for_queue("default").job(job_id)) == 0
    sweep(files.store, generous.server, grace=0.0)
    assert stored(files) == {job_key(job_id, "payload.json")}


def test_large_payloads_replace_each_other_and_only_the_last_is_kept_and_run(files, generous, start_worker):
    options = {"delay": "1h", "unique_key": "one", "unique_mode": "replace"}
    first, large, small = ({"text": letter * size} for letter, size in (("a", 300_000), ("b", 400_000), ("c", 7)))
    job_id = generous.enqueue("files.length", first, **options)
    for payload in (large, small, large):
        assert generous.enqueue("files.length", payload, **options) == job_id
    kept = msgspec.json.decode(generous.job(job_id).payload)["$file"]
    assert job_key(job_id, kept) in stored(files)
    sweep(files.store, generous.server, grace=0.0)
    assert stored(files) == {job_key(job_id, kept)}
    sweep(files.store, generous.server, older_than=0.0, grace=0.0)
    assert generous.enqueue("files.length", large, **options | {"delay": None}) == job_id
    start_worker(**files.environ)
    assert msgspec.json.decode(files.ended(job_id).result)["length"] == 400_000


def test_a_large_payload_that_comes_while_its_job_runs_is_with_the_job_that_follows(files, generous):
    worker = SeedingWorker(generous)
    options = {"unique_key": "one", "unique_mode": "replace"}
    running = generous.enqueue("files.length", LARGE, **options)
    (job,) = worker.fetch()
    second = generous.enqueue("files.length", LARGE, **options)
    assert second != running
    assert generous.enqueue("files.length", {"text": "d" * 500_000}, **options) == second
    name = msgspec.json.decode(generous.job(second).payload)["$file"]
    assert stored(files) >= {job_key(running, "payload.json"), job_key(second, name)}
    worker.complete([job])


def test_an_upload_is_kept_as_long_as_the_job_that_it_came_to_by_a_replacement(files, generous):
    client = generous
    options = {"delay": "1h", "unique_key": "one", "unique_mode": "replace"}
    job_id = client.enqueue("files.length", {"text": ""}, **options)
    upload = client.files.upload(b"content", "a.txt").file_id
    assert client.enqueue("files.length", {"text": ""}, files={"file": upload}, **options) == job_id
    (key,) = [ref.key for ref in decode_envelope(envelope_of(client, job_id)).files.values()]
    assert job_id in claims(client.server, key)


def envelope_of(client, job_id) -> bytes:
    return client.server.client.hget(client.server.keys.for_queue("default").job(job_id), "envelope")


def stored(files) -> set[str]:
    return {each.key for each in files.store.list("jobs/")}


def test_payloads_of_jobs_that_are_not_stored_are_deleted_and_those_of_repeats_kept(files, generous, start_worker):
    entries = [
        msgspec.json.encode({"type": "files.length", "payload": LARGE, "queue": queue}) for queue in ("one", "two")
    ]
    first = generous.submit_batch(entries, idempotency_key="key")
    kept = stored(files)
    assert kept == {job_key(each.job_id, "payload.json") for each in first}
    again = generous.submit_batch(entries, idempotency_key="key")
    assert [each.job_id for each in again] == [each.job_id for each in first]
    assert stored(files) == kept
    with pytest.raises(InvalidJob, match="no job"):
        generous.enqueue("files.length", LARGE, after=[new_job_id()])
    with pytest.raises(PayloadTooLarge, match=r"the maximum is 1048576 \(GOPHER_PAYLOAD_MAX\)"):
        generous.enqueue("files.length", {"text": "x" * 2**20})
    assert stored(files) == kept


def test_another_request_with_the_same_key_at_the_same_time_leaves_the_payload_of_the_stored_job(files, generous):
    """Ids are made of key and time: such a request must not write, or delete, the file of the first one's job."""
    text = {"text": "x" * 300_000}
    for number, other in enumerate((LARGE, text)):
        bodies = [msgspec.json.encode({"type": "files.length", "payload": each}) for each in (LARGE, {**other, "b": 1})]
        requests = [request_for(f"key {number}", body, 1_800_000_000_000) for body in bodies]
        first, second = (
            with_ids(prepare_batch([body], payload_max=2**20), request, int(request.answer))
            for body, request in zip(bodies, requests, strict=True)
        )
        (kept,) = generous.store(first, request=requests[0])
        with pytest.raises(IdempotencyMismatch):
            generous.store(second, request=requests[1])
        assert msgspec.json.decode(files.content(kept.job_id, "payload.json")) == LARGE


@pytest.mark.parametrize(("how", "error"), [("name", "can't be the name of a file"), ("size", "GOPHER_FILE_MAX")])
def test_what_can_not_be_stored_fails_the_job_with_the_reason(files, client, start_worker, how, error):
    start_worker(**files.environ)
    job_id = client.enqueue("files.wrong", {"how": how}, max_retries=0)
    assert error in bytes(files.ended(job_id, "failed").error).decode()
    assert list(files.store.list("jobs/")) == []


@pytest.mark.deep
def test_a_job_whose_file_is_gone_fails_for_good(files, client, start_worker):
    upload = files.upload()
    job_id = files.submit("files.wrong", {"how": "missing"}, files={"file": upload})
    files.store.delete(upload_key("", upload))
    start_worker(**files.environ)
    assert b"is not in the store" in bytes(files.ended(job_id, "failed").error)


@pytest.mark.deep
def test_what_a_killed_child_had_fetched_is_removed_by_the_next_one(files, client, start_worker, tmp_path):
    note = tmp_path / "note"
    worker = start_worker(**files.environ, WORKER_CONCURRENCY="1")
    job_id = files.submit("files.die", {"note": str(note)}, files={"file": files.upload()})
    wait_until(lambda: note.exists() and note.read_text())
    left = Path(note.read_text())
    assert left.read_bytes() == CONTENT
    os.kill(worker.children()[0], signal.SIGKILL)
    files.ended(job_id, "failed")
    assert left.exists()
    files.ended(files.submit("files.copy", {}, files={"file": files.upload()}))
    assert not left.parent.parent.exists()


def test_files_are_kept_as_long_as_their_job_and_no_longer(files, client, start_worker):
    start_worker(**files.environ)
    upload = files.upload()
    kept = files.submit("files.copy", {}, files={"file": upload})
    gone = files.submit("files.copy", {}, files={"file": upload})
    files.ended(kept), files.ended(gone)
    client.server.client.delete(client.server.keys.for_queue("default").job(gone))
    swept = sweep(files.store, client.server, grace=-60)
    assert (swept.files, swept.bytes) == (3, 2 * len(CONTENT) + 10)
    assert {each.key.split("/")[1] for each in files.store.list("jobs/")} == {kept}
    assert files.store.stat(upload_key("", upload)) is not None


@pytest.mark.parametrize("is_old", [False, True])
def test_an_upload_is_kept_while_it_can_be_used_or_has_a_job(files, client, is_old, monkeypatch):
    unused, used = files.upload(), files.upload()
    job_id = files.submit("files.copy", {}, files={"file": used})
    # As if it had been uploaded longer ago than GOPHER_UPLOAD_TTL.
    grace = -files.settings.upload_ttl - 60 if is_old else -60
    sweep(files.store, client.server, grace=grace)
    assert (files.store.stat(upload_key("", unused)) is None) == is_old
    assert files.store.stat(upload_key("", used)) is not None
    client.server.client.delete(client.server.keys.for_queue("default").job(job_id))
    sweep(files.store, client.server, grace=grace)
    assert (files.store.stat(upload_key("", used)) is None) == is_old


def test_an_upload_is_kept_for_a_job_that_lasts_longer_than_it_is_remembered_who_uses_it(files, client):
    upload = files.upload()
    files.submit("files.copy", {}, files={"file": upload})
    server, claims_of = client.server.client, client.server.keys.claims(upload_key("", upload))
    server.expire(claims_of, 3600)
    # As if it had been uploaded longer ago than GOPHER_UPLOAD_TTL.
    sweep(files.store, client.server, grace=-files.settings.upload_ttl - 60)
    assert server.ttl(claims_of) > REMEMBERED - 3600, "each sweep renews it"


def test_a_copy_of_a_job_keeps_its_uploads_also_those_that_are_too_old_for_new_jobs(files):
    upload = files.upload()
    job_id = files.submit("files.copy", {}, files={"file": upload})
    with Client(settings=replace(files.settings, upload_ttl=0.0)) as later:
        with pytest.raises(InvalidJob, match="has expired"):
            later.enqueue("files.copy", {}, files={"file": later.files.upload(b"x", "a.txt").file_id})
        copy_id = later.waiting.copy(job_id)
        assert later.job(copy_id).files == later.job(job_id).files
        later.server.client.delete(later.server.keys.for_queue("default").job(job_id))
        sweep(files.store, later.server, grace=-60)
        assert later.waiting.copy(copy_id)
        files.store.delete(upload_key("", upload))
        with pytest.raises(InvalidJob, match="no such uploaded file") as refused:
            later.waiting.copy(copy_id)
        assert refused.value.field == "/files/file"


@pytest.mark.parametrize("files", ["file:"], indirect=True)
def test_nothing_is_removed_from_a_store_that_another_installation_uses(files, client, redis_url):
    key = job_key(new_job_id(), "of-another.txt")
    files.store.write(key, [b"x"], limit=1)
    with Client(redis_url, namespace=f"{client.settings.namespace}-b") as other:
        sweep(files.store, other.server, grace=10)
        swept = sweep(files.store, client.server, grace=-60)
    assert swept.is_shared
    assert files.store.stat(key) is not None
