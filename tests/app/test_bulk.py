"""POST /api/v1/jobs/batch with NDJSON: a job a line, each for itself, in constant memory."""

import json
import shutil
import tempfile
from pathlib import Path

import psutil
import pytest

from gopher.client import Client
from gopher.jobs.batch import NewBatch
from gopher.jobs.job import new_job_id
from gopher.server.embedded import EmbeddedServer
from tests.app.conftest import EMAIL, running_api
from tests.helpers import wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}


def line(queue, **fields):
    return json.dumps({"type": "email", "payload": EMAIL, "queue": queue, **fields}).encode() + b"\n"


def send(api, body, **headers):
    return api.post("/api/v1/jobs/batch", content=body, headers={**NDJSON, **headers})


def stored(client, queue):
    stats = client.stats().queues.get(queue)
    return 0 if stats is None else stats.total_enqueued


def test_each_line_is_a_job(api, client, queue):
    answer = send(api, line(queue) * 3)
    assert answer.status_code == 201
    assert answer.json() == {"lines": 3, "accepted": 3, "duplicates": 0, "rejected": 0, "errors": []}
    assert stored(client, queue) == 3


def test_bad_lines_are_named_and_the_others_stored(api, client, queue):
    body = line(queue) + line(queue, priority="urgent") + b"{nonsense\n" + line(queue, type="nowhere") + line(queue)
    answer = send(api, body)
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (200, 2, 3)
    assert [(each["line"], each["field"], each["code"]) for each in told["errors"]] == [
        (2, "/priority", "invalid_job"),
        (3, None, "invalid_json"),
        (4, "/type", "unknown_type"),
    ]
    assert stored(client, queue) == 2


def test_answers_a_line_for_each_line_on_request(api, client, queue):
    body = line(queue, unique_key="k") + line(queue, priority="urgent") + line(queue, unique_key="k")
    answer = send(api, body, Accept="application/x-ndjson")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    first, bad, twin = map(json.loads, answer.text.splitlines())
    assert (first["line"], first["status"], client.job(first["job_id"]).queue) == (1, "pending", queue)
    assert (bad["line"], bad["field"], "job_id" in bad) == (2, "/priority", False)
    assert (twin["line"], twin["duplicate"], twin["job_id"]) == (3, True, first["job_id"])


@pytest.mark.parametrize("body", ["{0}\n\n  \n{0}", "{0}\r\n{0}\r\n", "{0}\n{0}"])
def test_blank_lines_and_other_ends_of_lines_are_no_matter(api, client, queue, body):
    answer = send(api, body.format(line(queue).decode().strip()))
    assert (answer.status_code, answer.json()["accepted"]) == (201, 2)


def test_lines_are_counted_with_the_blank_ones(api, queue):
    assert send(api, b"\n\n" + line(queue) + b"\nnonsense\n").json()["errors"][0]["line"] == 5


def test_a_body_of_which_no_line_is_good_is_refused(api, client, queue):
    answer = send(api, line(queue, priority="urgent") + b"[]\n")
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"]) == (400, "invalid_job", "/lines/1/priority")
    assert (told["accepted"], told["rejected"], len(told["errors"])) == (0, 2, 2)
    assert send(api, b"\n\n").json()["field"] == "/lines"


def test_a_line_that_is_too_long_is_named_and_the_next_one_read(api, client, queue):
    long = line(queue, metadata={"x": "y" * 3_000_000})
    told = send(api, line(queue) + long + line(queue)).json()
    assert [(each["line"], each["code"]) for each in told["errors"]] == [(2, "payload_too_large")]
    assert (told["accepted"], stored(client, queue)) == (2, 2)


def test_lines_do_not_support_after(api, queue):
    told = send(api, line(queue) + line(queue, after=[0])).json()
    assert (told["errors"][0]["line"], told["errors"][0]["field"]) == (2, "/after")


def test_a_dry_run_checks_and_stores_nothing(api, client, queue):
    answer = api.post("/api/v1/jobs/batch?dry_run=1", content=line(queue) + b"[]\n", headers=NDJSON)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (200, 1, 1)
    assert stored(client, queue) == 0


def test_the_same_body_under_the_same_key_is_stored_once(api, client, queue):
    body = (line(queue) * 700 + line(queue, priority="urgent")) * 3
    accept = {"Accept": "application/x-ndjson", "Idempotency-Key": queue}
    first, again = send(api, body, **accept), send(api, body, **accept)
    assert len(first.text.splitlines()) == 2103
    assert again.text == first.text
    assert stored(client, queue) == 2100
    other = send(api, line(queue), **accept)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_lines_are_taken_by_batches_only(api):
    assert api.post("/api/v1/jobs", content=b"{}", headers=NDJSON).status_code == 415
    assert api.put("/api/v1/limits/email", content=b"{}", headers=NDJSON).status_code == 415


def test_a_body_of_any_length_is_read_in_constant_memory(api, client, queue):
    """20 MB, in chunks; alone the jobs made of them would be more."""
    send(api, line(queue))
    text = line(queue, metadata={"padding": "x" * 1000})
    before = memory(api)
    answer = send(api, (text * 100 for _ in range(160)))
    assert (answer.status_code, answer.json()["accepted"]) == (201, 16_000)
    assert memory(api) - before < 12 * 2**20
    client.purge(queue, "pending")


def memory(api):
    return sum(child.memory_info().rss for child in psutil.Process(api.process.pid).children())


def test_when_the_server_becomes_unavailable_it_reports_how_many_lines_are_stored():
    folder = Path(tempfile.mkdtemp(prefix="gopher-bulk-"))
    try:
        with EmbeddedServer(folder) as server, running_api(folder, server.url, WEB_CONCURRENCY="1") as api:

            def body():
                # So much that the API begins before the end is there.
                yield line("bulk") * 12_000
                with Client(server.url) as client:
                    wait_until(lambda: stored(client, "bulk") >= 1000)
                server.kill()
                yield line("bulk") * 2000

            answer = send(api, body())
            told = answer.json()
            assert answer.status_code == 503
            assert told["code"] in ("queue_unavailable", "outcome_unknown")
            assert 1000 <= told["lines"] == told["accepted"] < 14_000
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sealed(client):
    batch_id = client.batches.create(NewBatch()).batch_id
    client.batches.seal(batch_id)
    return batch_id


@pytest.mark.parametrize("keyed", [False, True])
def test_lines_of_a_sealed_batch_are_named_and_the_others_stored(api, client, queue, sealed, keyed):
    key = {"Idempotency-Key": queue} if keyed else {}
    open_batch, nowhere = client.batches.create(NewBatch()).batch_id, new_job_id()
    one = line(queue, batch=open_batch, unique_key="k", delay="1h")
    lines = [line(queue), line(queue, batch=sealed), one, line(queue, batch=nowhere), one, line(queue)]
    told = send(api, b"".join(lines), **key).json()
    assert [(each["line"], each["field"], each["code"]) for each in told["errors"]] == [
        (2, "/batch", "invalid_job"),
        (4, "/batch", "invalid_job"),
    ]
    assert ["sealed" in each["details"] for each in told["errors"]] == [True, False]
    assert (told["accepted"], told["duplicates"], stored(client, queue)) == (4, 1, 3)
    assert client.batches.get(open_batch).total == 1
    if keyed:
        client.batches.seal(open_batch)
        assert send(api, b"".join(lines), **key).json() == told
        assert (stored(client, queue), client.batches.get(open_batch).total) == (3, 1)
    refused = send(api, line(queue, batch=sealed))
    assert (refused.status_code, refused.json()["accepted"]) == (400, 0)


@pytest.mark.parametrize("end", ["sealed", "gone"])
def test_a_body_that_is_sent_again_gets_the_same_ids_whatever_its_batches_have_become(api, client, queue, sealed, end):
    """Those of lines that were refused the first time are refused again, and all others are where they were."""
    batch_id = client.batches.create(NewBatch()).batch_id
    body = b"".join([line(queue), line(queue, batch=sealed), line(queue, batch=batch_id), line(queue)])
    accept = {"Accept": "application/x-ndjson", "Idempotency-Key": queue}
    first = send(api, body, **accept)
    assert ["job_id" in json.loads(each) for each in first.text.splitlines()] == [True, False, True, True]
    if end == "sealed":
        client.batches.seal(batch_id)
    else:
        client.server.client.delete(client.server.keys.for_queue("default").batch(batch_id))
    assert send(api, body, **accept).text == first.text
    ids = [json.loads(each)["job_id"] for each in first.text.splitlines() if "job_id" in each]
    assert [client.job(job_id).queue for job_id in ids] == [queue] * 3
    assert stored(client, queue) == 3


def test_a_job_with_an_id_of_its_own_that_a_sealed_batch_has_is_found_again(api, client, queue):
    batch_id = client.batches.create(NewBatch()).batch_id
    named = line(queue, batch=batch_id, job_id=new_job_id())
    assert send(api, named).json()["accepted"] == 1
    client.batches.seal(batch_id)
    told = send(api, named + line(queue, batch=batch_id)).json()
    assert (told["accepted"], told["duplicates"], told["errors"][0]["line"]) == (1, 1, 2)
