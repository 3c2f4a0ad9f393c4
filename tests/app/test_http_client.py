"""`HttpClient`: what `Client` does, over the API."""

import json
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from gopher import Client, HttpClient, __version__
from gopher.api_client.decode import read_view
from gopher.config.tls import tls_context
from gopher.errors import (
    ApiTooOld,
    ApiUnavailable,
    BatchNotFound,
    CancellationNotFound,
    ConfigurationError,
    JobConflict,
    JobNotFound,
    OutcomeUnknown,
    WebhookNotFound,
    WorkerNotFound,
)
from gopher.jobs.models import JobView
from gopher.jobs.submission import InvalidBatch
from gopher.queue.idempotency import IdempotencyMismatch
from tests.helpers import make_certificate

from .conftest import EMAIL, Api


@pytest.fixture
def http(api: Api) -> Iterator[HttpClient]:
    with HttpClient(str(api.base_url)) as made:
        yield made


class LossyProxy:
    """Stands before the API and ends the next `losing` connections when it has answered, before anybody hears it."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._api = ("127.0.0.1", port)
        self.losing = 0
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://localhost:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                # A client that does not believe our certificate leaves in the middle of it.
                with (
                    suppress(OSError),
                    socket.create_connection(self._api) as api,
                    self._tls.wrap_socket(connection, True) if self._tls else connection as heard,
                ):
                    self._exchange(heard, api)

    def _exchange(self, connection: socket.socket, api: socket.socket) -> None:
        self.asked += 1
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        while len(body) < int(length[1] if length else 0):
            body += connection.recv(65536)
        # One request a connection.
        api.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        answer = b"".join(iter(lambda: api.recv(65536), b""))
        if self.losing:
            self.losing -= 1
        else:
            connection.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def lossy(api: Api, tls: ssl.SSLContext | None = None) -> Iterator[LossyProxy]:
    proxy = LossyProxy(api.base_url.port or 0, tls)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


def test_a_job_looks_the_same_over_http(http: HttpClient, client: Client, queue: str) -> None:
    options = {"priority": "high", "metadata": {"order": 17}, "delay": "1h", "max_retries": 7, "timeout": "20s"}
    job_id = http.enqueue("email", EMAIL, queue=queue, **options)
    ours, theirs = client.job(job_id), http.job(job_id)
    assert msgspec.json.encode(theirs) == msgspec.json.encode(ours)
    assert bytes(theirs.metadata) == b'{"order":17}'


def test_many_jobs_go_in_pieces_and_their_ids_come_in_order(http: HttpClient, client: Client, queue: str) -> None:
    jobs = [{"type": "email", "payload": {**EMAIL, "subject": str(n)}, "queue": queue} for n in range(2300)]
    ids = http.enqueue_many(iter(jobs))
    assert len(set(ids)) == 2300
    for place in (0, 999, 1000, 2299):
        assert msgspec.json.decode(client.job(ids[place]).payload)["subject"] == str(place)


def test_each_bad_entry_of_a_batch_is_named(http: HttpClient, client: Client, queue: str) -> None:
    good = msgspec.json.encode({"type": "email", "payload": EMAIL, "queue": queue})
    with pytest.raises(InvalidBatch) as caught:
        http.submit_batch([good, b'{"type": "nope", "payload": {}}', good, b'{"type": "email", "payload": {}}'])
    named = [(index, type(error).__name__, error.field) for index, error in caught.value.errors]
    assert named == [(1, "UnknownType", "/type"), (3, "InvalidJob", "/payload/to")]
    assert queue not in client.server.queues()


def test_a_batch_may_be_repeated_under_its_key(http: HttpClient, queue: str) -> None:
    entries = [msgspec.json.encode({"type": "email", "payload": EMAIL, "queue": queue})]
    first = http.submit_batch(entries, idempotency_key=queue)
    again = http.submit_batch(entries, idempotency_key=queue)
    assert [each.replayed for each in first + again] == [False, True]
    assert first[0].job_id == again[0].job_id
    with pytest.raises(IdempotencyMismatch):
        http.submit_batch(entries * 2, idempotency_key=queue)


def test_a_submission_whose_answer_got_lost_is_repeated_and_stored_once(api: Api, client: Client, queue: str) -> None:
    with lossy(api) as proxy, HttpClient(proxy.url) as http:
        proxy.losing = 2
        job_id = http.enqueue("email", EMAIL, queue=queue)
        assert proxy.asked == 3
    assert client.job(job_id).status == "pending"
    assert client.stats().queues[queue].total_enqueued == 1


def test_what_is_not_safe_to_repeat_is_sent_once(api: Api, client: Client, queue: str) -> None:
    job_id = client.enqueue("email", EMAIL, queue=queue)
    with lossy(api) as proxy, HttpClient(proxy.url) as http:
        proxy.losing = 1
        with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
            http.cancel(job_id)
        assert proxy.asked == 1
        with pytest.raises(JobConflict, match="it is cancelled"):
            http.cancel(job_id)


def test_waits_for_the_end_of_a_job_or_for_its_patience(http: HttpClient, queue: str, worker) -> None:
    job_id = http.enqueue("email", EMAIL, queue=queue)
    assert http.wait(job_id, timeout=0.1).status == "pending"
    threading.Timer(0.3, lambda: worker.complete(worker.fetch())).start()
    assert http.wait(job_id).status == "completed"
    with pytest.raises(JobNotFound):
        http.wait("019f0000-0000-7000-8000-000000000000")


def test_errors_describe_what_is_wrong(api: Api) -> None:
    with HttpClient("http://127.0.0.1:1") as http, pytest.raises(ApiUnavailable, match="127.0.0.1:1 is unreachable"):
        http.stats()
    with pytest.raises(ConfigurationError, match="GOPHER_URL"):
        HttpClient()
    with pytest.raises(ConfigurationError, match="GOPHER_API_KEY"):
        HttpClient(str(api.base_url), "line\nend")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/v1/new"), ("DELETE", "/api/v1/stats"), ("GET", "/api/v1/jobs/new")]
)
def test_an_api_without_a_call_is_said_to_be_of_an_earlier_release(http: HttpClient, method: str, path: str) -> None:
    with pytest.raises(ApiTooOld, match=f"{http._api.url} does not know {method} {path}: its release is older"):
        http._api.call(method, path)


def test_what_an_id_names_nothing_of_is_not_said_to_be_missing_as_a_job(http: HttpClient) -> None:
    unknown = "019f0000-0000-7000-8000-000000000000"
    with pytest.raises(JobNotFound):
        http.waiting.run(unknown)
    with pytest.raises(CancellationNotFound):
        http.waiting.stop_cancellation(unknown)
    with pytest.raises(BatchNotFound):
        http.batches.get(unknown)
    with pytest.raises(WebhookNotFound):
        http.webhooks.get("019f00000000")
    with pytest.raises(WorkerNotFound):
        http.fleet.stop("nobody-1-abc")


def test_a_view_keeps_numbers_to_the_digit_and_passes_over_what_is_new() -> None:
    shown = dict.fromkeys(JobView.__struct_fields__) | {"history": [], "tags": [], "attempts": 1, "timeout": 1}
    shown["new"] = 1
    texts = {
        "job_id": "x",
        "type": "t",
        "status": "s",
        "queue": "q",
        "priority": "p",
        "created_at": "c",
        "owner": "o",
        "tenant": "",
    }
    for field in msgspec.structs.fields(JobView):
        if field.default is msgspec.UNSET:
            del shown[field.name]
    shown |= texts | {"max_retries": 1, "result": "RESULT", "progress": "PROGRESS"}
    text = json.dumps(shown).replace('"RESULT"', "12345678901234567890123").replace('"PROGRESS"', '{"fraction":0.50}')
    view = read_view(JobView, text.encode())
    assert (bytes(view.result), view.error) == (b"12345678901234567890123", None)
    assert view.progress is not None
    assert bytes(view.progress) == b'{"fraction":0.50}'


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_is_checked_and_an_authority_of_ones_own_believed(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "localhost")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    with lossy(api, server_side) as proxy:
        with HttpClient(proxy.url) as http, pytest.raises(ApiUnavailable, match="certificate"):
            http.stats()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        tls_context.cache_clear()
        try:
            with HttpClient(proxy.url) as http:
                assert http.health().version == __version__
        finally:
            tls_context.cache_clear()


def test_dead_letters_are_discarded_up_to_a_limit_as_on_the_server_itself(
    http: HttpClient, client: Client, queue: str, worker
) -> None:
    http.enqueue_many({"type": "email", "payload": EMAIL, "queue": queue} for _ in range(3))
    for job in worker.fetch(3):
        worker.dead_letter(job, "KeyError")
    assert http.dead_letters.count(queue=queue, error="KeyError") == 3
    assert http.dead_letters.discard_all(queue=queue, limit=2) == 2
    assert http.dead_letters.retry_gradually(queue=queue, canary=0, rate="1/h").total == 1
    assert [view.total for view in http.dead_letters.redrives() if view.queue == queue] == [1]
    assert client.dead_letters.count(queue=queue) == 1
