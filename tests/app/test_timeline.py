"""GET /api/v1/timeline and /api/v1/types/<type>/stats."""

import time

import pytest

from gopher.queue.arguments import Completion, as_usage


def test_answers_points_of_a_window(api, client, worker, queue):
    moves = client.server.queue(queue)
    client.server.run(moves.sample())
    api.submit(queue=queue)
    worker.complete(worker.fetch(1))
    # The next sample is due within ten seconds; a test need not wait for it.
    (row,) = client.server.client.zrange(client.server.keys.for_queue(queue).timeline(10_000), 0, -1, withscores=True)
    client.server.client.zadd(client.server.keys.for_queue(queue).timeline(10_000), {row[0]: row[1] - 10_000})
    client.server.run(moves.sample())
    answer = api.get("/api/v1/timeline", params={"window": "1h", "queue": queue}).json()
    assert (answer["window"], answer["step"]) == (3600, 10)
    (point,) = answer["points"]
    assert (point["enqueued"], point["completed"], point["run"]["count"]) == (1, 1, 1)
    assert point["types"] == {"email": {"enqueued": 1, "dequeued": 1, "completed": 1}}
    assert point["at"].startswith(time.strftime("%Y-"))
    assert api.get("/api/v1/timeline").json()["window"] == 3600


@pytest.mark.parametrize(("name", "text"), [("window", "soon"), ("queue", "No!"), ("step", "1")])
def test_names_what_it_can_not_read(api, name, text):
    answer = api.get("/api/v1/timeline", params={name: text})
    assert (answer.status_code, answer.json()["field"]) == (400, f"/{name}")


def test_a_type_has_figures_of_its_own(api, client, worker, queue):
    moves = client.server.queue(queue)
    client.server.run(moves.sample())
    ids = [api.submit(queue=queue).json()["job_id"] for _ in range(3)]
    api.submit(queue=queue, type="report", payload={"report_type": "queue_health"})
    jobs = worker.fetch(4)
    done, slow, failed, report = jobs
    spent = as_usage(0.2, 0.05, 100 * 2**20)
    results = [(done, 0.2, ""), (slow, 300.0, spent), (report, 9_000.0, "")]
    completions = [Completion(job.id, job.token, ms, b"", b"", usage) for job, ms, usage in results]
    client.server.run(moves.complete(worker.name, completions))
    worker.dead_letter(failed, "ValueError")
    key = client.server.keys.for_queue(queue).timeline(10_000)
    ((row, at),) = client.server.client.zrange(key, 0, -1, withscores=True)
    client.server.client.zadd(key, {row: at - 10_000})
    client.server.run(moves.sample())
    answer = api.get("/api/v1/types/email/stats", params={"window": "1h", "queue": queue}).json()
    assert (answer["type"], answer["totals"]["enqueued"], answer["totals"]["completed"]) == ("email", 3, 2)
    assert answer["errors"] == {"ValueError": 1}
    assert answer["slowest"][0]["job_id"] == slow.id
    assert {job["job_id"] for job in answer["slowest"]} == set(ids)
    assert (answer["cpu"]["count"], answer["cpu"]["mean"]) == (1, 0.25)
    assert answer["memory"]["p50"] == pytest.approx(100 * 2**20, rel=0.2)
    (point,) = answer["points"]
    assert (point["enqueued"], point["completed"], point["failed"]) == (3, 2, 1)
    # Below a millisecond, too.
    assert point["run"]["count"] == 3
    assert 0.00001 < answer["run"]["p50"] < 0.05
    assert client.type_stats("email", "1h", queue).points[0].run.count == 3


def test_a_type_that_nobody_knows_has_counted_nothing(api, queue):
    answer = api.get("/api/v1/types/never-met/stats", params={"queue": queue}).json()
    assert (answer["totals"]["enqueued"], answer["run"]["p50"], answer["memory"]["mean"]) == (0, None, None)
    assert (answer["slowest"], answer["errors"]) == ([], {})
    assert api.get("/api/v1/types/No!/stats").json()["field"] == "/job_type"
