"""`gopherctl replay`: the handler of a dead letter runs here, over the API alone, and nothing on the server changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gopher.client import Client
from tests.app.conftest import Api, running_api
from tests.cli.conftest import Run
from tests.helpers import wait_until
from tests.worker.processes import Worker

pytestmark = pytest.mark.deep

HANDLERS = "tests.replay_handlers"
ROOT = str(Path(__file__).parents[2])


class Shop:
    """An API with keys, and a worker whose jobs die."""

    def __init__(self, api: Api, client: Client) -> None:
        self.api, self.client = api, client

    def variables(self, key: str = "look") -> dict[str, str]:
        """Return what leads a command to the API, with a server that is not there."""
        return {
            "GOPHER_URL": str(self.api.base_url),
            "GOPHER_API_KEY": key,
            "REDIS_URL": "redis://127.0.0.1:1",
            "GOPHER_HANDLERS": HANDLERS,
            "PYTHONPATH": ROOT,
        }

    def ended(self, job_type: str, payload: dict[str, object], **options: object) -> str:
        job_id = self.client.enqueue(job_type, payload, **options)  # type: ignore[arg-type]
        assert self.client.wait(job_id, 60).finished_at, self.client.job(job_id).status
        # Those that it has enqueued run after it.
        wait_until(lambda: self._rests("default"), 60, "the worker to have nothing to do")
        return job_id

    def _rests(self, queue: str) -> bool:
        view = self.client.stats().queues[queue]
        return not view.waiting and not view.processing

    def state(self) -> dict[str, object]:
        """Return all that the server has, but for what changes by itself."""
        server = self.client.server.client
        found: dict[str, object] = {}
        for key in sorted(server.scan_iter(match=f"{self.client.settings.namespace}:*", count=1000)):
            if b":job:" in key:
                found[key.decode()] = server.hgetall(key)
            elif server.type(key) == b"zset" and key.split(b":")[-1] in (b"failed", b"finished"):
                found[key.decode()] = server.zrange(key, 0, -1, withscores=True)
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Shop]:
    folder, namespace = tmp_path_factory.mktemp("replay"), f"replay-{uuid4().hex[:12]}"
    own = {
        "GOPHER_NAMESPACE": namespace,
        "GOPHER_HANDLERS": HANDLERS,
        "PYTHONPATH": ROOT,
        "GOPHER_FILES": str(folder / "files"),
        "GOPHER_PAYLOAD_MAX": "1MiB",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GOPHER_FILES", "GOPHER_PAYLOAD_MAX"):
            patch.setenv(name, own[name])
        with (
            running_api(folder, redis_url, GOPHER_API_KEYS="viewer:look:read,shop:sell:submit", **own) as api,
            Client(redis_url, namespace=namespace) as client,
        ):
            worker = Worker(client, folder, WORKER_CONCURRENCY="1", **own)
            try:
                yield Shop(api, client)
            finally:
                worker.destroy()


def test_a_dead_letter_is_debugged_with_all_that_it_was_given_and_nothing_on_the_server_changes(
    run: Run, shop: Shop, tmp_path: Path
) -> None:
    parent = shop.ended("replay.parent", {"large": 100_000})
    upload = shop.client.files.upload(b"of the customer", name="order.txt")
    payload = {"number": 7, "text": "t" * 300_000, "parent_file": "parent.txt"}
    dead = shop.ended("replay.charge", payload, after=[parent], files={"order": upload})
    error = json.loads(bytes(shop.client.job(dead).error or b""))
    before = shop.state()

    answer = run("replay", dead, "--local", "--json", **shop.variables())
    assert answer.code == 1, answer.err
    said = answer.json
    assert (said["outcome"], said["attempt"]) == ("failed", 1)
    assert said["error"]["type"] == "ValueError"
    # As on the worker: file, large payload, large result of the parent and its file.
    assert said["error"]["message"] == error["message"]
    assert "of the customer" in error["message"]
    assert "from the parent" in error["message"]
    assert said["log"] == ["charging 7, 300000 letters"]
    assert said["progress"] == [[0.5, "half"]]
    enqueued = [(job["type"], job["queue"], job["payload"]) for job in said["enqueued"]]
    assert enqueued == [("replay.receipt", "default", {"number": 7}), ("replay.mail", "mail", {"to": "a"})]
    created = "create the batch mails, on_complete replay.receipt"
    assert said["held_back"] == [created, "seal the batch mails with 1 jobs"]
    assert (tmp_path / f"replay-{dead}" / "receipt.txt").read_text() == "receipt"
    assert shop.state() == before


def test_the_debugger_is_entered_where_the_handler_fails(run: Run, shop: Shop) -> None:
    dead = shop.ended("replay.charge", {"number": 3})
    typed = "p secret['cancelled'], payload.number\nq\n"
    answer = run("replay", dead, "--local", "--pdb", stdin=typed, **shop.variables())
    assert answer.code == 1, answer.err
    assert "(False, 3)" in answer.out
    assert "ValueError: card declined" in answer.out
    assert "would enqueue replay.receipt in queue default" in answer.out
    assert "replay_handlers.py" in answer.out
    assert "testing/running.py" not in answer.out


def test_a_coroutine_is_replayed_without_a_timeout_unless_that_is_asked_for(run: Run, shop: Shop) -> None:
    done = shop.ended("replay.coroutine", {"seconds": 0.3}, timeout="60s")
    answer = run("replay", done, "--local", **shop.variables())
    assert (answer.code, answer.out) == (0, 'completed: {"attempt":1,"large":""}\n'), answer.err
    late = shop.ended("replay.coroutine", {"seconds": 30}, timeout="100ms", max_retries=0)
    answer = run("replay", late, "--local", "--timeout", "--json", **shop.variables())
    assert (answer.code, answer.json["outcome"], answer.json["error"]["type"]) == (1, "timeout", "Timeout"), answer.err


def test_other_changes_by_clients_are_rejected(run: Run, shop: Shop) -> None:
    job_id = shop.ended("replay.pauses", {})
    shop.client.flow.resume_queue("mail")
    answer = run("replay", job_id, "--local", **shop.variables())
    assert answer.code == 1
    assert "flow.pause_queue is not called in a replay: nothing on the server is changed" in answer.out
    assert not shop.client.stats().paused_queues


def test_children_are_enqueued_when_that_is_asked_for(run: Run, shop: Shop) -> None:
    dead = shop.ended("replay.charge", {"number": 11})
    submitting = {**shop.variables("sell"), "REDIS_URL": shop.client.settings.redis_url}
    submitting["GOPHER_NAMESPACE"] = shop.client.settings.namespace
    answer = run("replay", dead, "--local", "--enqueue", "--redis-url", shop.client.settings.redis_url, **submitting)
    assert answer.code == 1
    assert "would enqueue" not in answer.out
    receipts = [json.loads(bytes(job.payload)) for job in shop.client.jobs(job_type="replay.receipt").jobs]
    assert receipts.count({"number": 11}) == 2


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("unknown type", "no handler is registered for 'replay.charge'"),
        ("gone", "there is no job 019f0000-0000-7000-8000-000000000000, or its record has expired"),
        ("file gone", "what job {} was given is not kept any more"),
        ("of others", "there is no job {}"),
        ("not local", "add --local to run the handler in this process"),
    ],
)
def test_what_can_t_be_replayed_is_said_in_a_sentence(run: Run, shop: Shop, what: str, reason: str) -> None:
    more = {"of others": shop.variables("sell")}.get(what, shop.variables())
    if what == "unknown type":
        more["GOPHER_HANDLERS"] = "gopher.handlers"
    text = "t" * 300_000 if what == "file gone" else ""
    job_id = shop.ended("replay.charge", {"number": 1, "text": text})
    if what == "file gone":
        shop.client.files.store.delete(f"jobs/{job_id}/payload.json")
    if what == "gone":
        job_id = "019f0000-0000-7000-8000-000000000000"
    answer = run("replay", job_id, *(() if what == "not local" else ("--local",)), **more)
    assert answer.code == (2 if what == "not local" else 1)
    assert reason.format(job_id) in answer.err
    assert "Traceback" not in answer.err


def test_a_parent_whose_result_has_expired_is_noted(run: Run, shop: Shop) -> None:
    parent = shop.ended("replay.parent", {})
    dead = shop.ended("replay.charge", {"number": 5}, after=[parent])
    keys = shop.client.server.keys.for_queue("default")
    shop.client.server.client.delete(keys.job(parent))
    answer = run("replay", dead, "--local", "--json", **shop.variables())
    assert answer.json["notes"] == [
        f"no result of {parent} is left, or it is not for this key: job.parents['{parent}'] is None"
    ]
    assert "'parents': [None]" in answer.json["error"]["message"]
