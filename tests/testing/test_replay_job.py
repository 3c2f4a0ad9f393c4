"""`replay_job`: the handler of a dead letter runs here, and nothing on the server changes."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gopher.testing import CannotReplay, EagerClient, Replay, Replayed, replay_job

from gopher import AsyncClient, Client, HttpClient, Job, handler
from gopher.errors import InvalidJob, JobConflict
from gopher.jobs.handlers import Registry
from tests.replay_handlers import receipt


def make_registry() -> Registry:
    made = Registry()

    @handler("totals", into=made)
    def totals(job: Job, payload: dict[str, Any]) -> int:
        return sum(payload["numbers"])

    @handler("orders", max_retries=1, into=made)
    def orders(job: Job, payload: dict[str, int]) -> None:
        """Submits by each kind of client, and fails."""
        receipt.delay(number=payload["number"])
        with Client() as client:
            client.enqueue_many([{"type": "mail", "payload": {"n": n}} for n in range(2)])
            client.files.upload(b"content", name="a.txt")
        with HttpClient("http://127.0.0.1:1", "key") as http:
            http.enqueue("mail", {"by": "http"}, queue="mail", files={"a": b"content"})
            http.enqueue_many([{"type": "mail", "payload": {"by": "http"}}])
            with http.batch(on_success={"type": "mail", "payload": {}}) as batch:
                batch.enqueue("mail", {"of": "a batch"})
            with pytest.raises(Exception, match="is not called in a replay"):
                http.flow.pause_queue("mail")
        raise ValueError(f"{payload['number']} {list(job.parents.values())}")

    @handler("waits", into=made)
    async def waits(job: Job, payload: dict[str, Any]) -> str:
        async with AsyncClient() as client:
            await client.enqueue("mail", {"by": "asyncio"})
        return job.attach(b"content", "out.txt")

    return made


@pytest.fixture
def registry() -> Registry:
    return make_registry()


@pytest.fixture
def client(redis_url: str, registry: Registry) -> Iterator[EagerClient]:
    with EagerClient(redis_url, registry=registry, raise_errors=False) as made:
        yield made


def dead_letter(client: EagerClient) -> str:
    """Return a dead letter: its client does not know the type that it has submitted."""
    dead = client.enqueue("orders", {"number": 7}, after=[client.enqueue("totals", {"numbers": [1, 2]})])
    assert client.job(dead).status == "failed"
    return dead


def test_a_dead_letter_runs_with_what_it_was_given_and_what_it_submits_by_any_client_is_held_back(
    client: EagerClient, registry: Registry
) -> None:
    dead = dead_letter(client)
    before = client.job(dead), client.stats().total_enqueued
    with Client(client.settings.redis_url, namespace=client.settings.namespace) as plain:
        replayed = replay_job(dead, plain, registry=registry)
    assert (replayed.outcome, replayed.error_type, replayed.message) == ("failed", "ValueError", "7 [3]")
    assert replayed.attempt == client.job(dead).attempts
    assert "in orders" in replayed.traceback
    assert "replaying.py" not in replayed.traceback
    assert [(job.type, job.queue) for job in replayed.enqueued] == [
        ("replay.receipt", "default"),
        *[("mail", "default")] * 2,
        ("mail", "mail"),
        *[("mail", "default")] * 2,
    ]
    assert [text.split(" ")[0] for text in replayed.held_back] == ["upload", "upload", "create", "seal"]
    assert (client.job(dead), client.stats().total_enqueued) == before


def test_a_coroutine_is_replayed_and_its_files_are_put_into_a_folder(
    client: EagerClient, registry: Registry, tmp_path: Path
) -> None:
    client.flow.pause_type("waits")
    job_id = client.enqueue("waits", {})
    replayed = Replay(job_id, client, registry=registry, folder=tmp_path / "here").run()
    assert (replayed.outcome, replayed.result, replayed.error) == ("completed", "out.txt", None)
    assert [job.type for job in replayed.enqueued] == ["mail"]
    assert [path.read_text() for path in replayed.attached] == ["content"]
    assert client.job(job_id).status == "pending"


def test_what_can_t_be_replayed_is_said(client: EagerClient, registry: Registry) -> None:
    job_id = client.enqueue("totals", {"numbers": []})
    with pytest.raises(CannotReplay, match="no handler is registered for 'totals'"):
        replay_job(job_id, client, registry=Registry())
    client.server.client.hset(client.server.keys.for_queue("default").job(job_id), "envelope", b"{")
    with pytest.raises(JobConflict, match="is corrupt: its payload can't be read"):
        replay_job(job_id, client, registry=registry)


def test_a_payload_that_does_not_fit_today_s_handler_is_an_outcome(client: EagerClient, registry: Registry) -> None:
    job_id = client.enqueue("totals", {"numbers": [1]})
    later = Registry()

    @handler("totals", into=later)
    def totals(job: Job, payload: dict[str, int]) -> int:
        raise AssertionError

    replayed = replay_job(job_id, client, registry=later)
    assert replayed.outcome == "failed"
    assert isinstance(replayed.error, InvalidJob)
    assert replayed.error.field == "/payload/*"


def replayed_late(client: EagerClient, timeout: str, pause: Callable[[], Any]) -> tuple[Replayed, list[str]]:
    """Replay a coroutine that does not end, with its timeout, and return what has come of it, and what it has heard."""
    heard, made = [], Registry()

    @handler("waits", timeout=timeout, into=made)
    async def lingers(job: Job, payload: dict[str, Any]) -> None:
        try:
            while True:
                if (waiting := pause()) is not None:
                    await waiting
        except BaseException as error:
            heard.append(type(error).__name__)
            raise

    client.flow.pause_type("waits")
    job_id = client.enqueue("waits", {})
    return Replay(job_id, client, registry=made).run(with_timeout=True), heard


def test_the_timeout_of_a_coroutine_cancels_it_and_its_error_has_the_handlers_line(client: EagerClient) -> None:
    replayed, heard = replayed_late(client, "2s", lambda: asyncio.sleep(60))
    assert (replayed.outcome, replayed.error_type, heard) == ("timeout", "Timeout", ["CancelledError"])
    assert replayed.message == "the job's timeout of 2s has passed"
    assert "in lingers\n    await waiting" in replayed.traceback
    assert "replaying.py" not in replayed.traceback


def test_a_coroutine_that_never_awaits_is_interrupted_after_the_grace_of_a_child(
    client: EagerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_KILL_GRACE", "100ms")
    replayed, heard = replayed_late(client, "2s", lambda: time.sleep(0.01))
    assert (replayed.outcome, heard) == ("timeout", ["SoftTimeout"])
