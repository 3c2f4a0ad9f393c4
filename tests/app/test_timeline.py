"""GET /api/v1/timeline."""

import time

import pytest


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
