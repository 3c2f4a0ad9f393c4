"""Records that somebody has changed by hand: their jobs die alone."""

import pytest

from gopher.base.states import ENDED
from tests.helpers import wait_until

#: The last two are no DecodeError to msgspec.
NO_ENVELOPES = ['{"payload":', '{"payload":{},"owner":5}', b'{"payload":{},"owner":"\xff"}', '{"a":' * 2000]


@pytest.mark.parametrize("envelope", NO_ENVELOPES)
def test_a_job_whose_envelope_cannot_be_read_does_not_keep_the_others(client, start_worker, envelope):
    ids = client.enqueue_many({"type": "pid", "payload": {}} for _ in range(5))
    server, keys = client.server.client, client.server.keys.for_queue("default")
    server.hdel(keys.job(ids[1]), "envelope")
    server.hset(keys.job(ids[3]), "envelope", envelope)
    worker = start_worker(WORKER_CONCURRENCY="1")

    def states():
        return [client.inspector.state("default", job_id) for job_id in ids]

    wait_until(lambda: set(states()) <= set(ENDED), 20)
    assert states() == ["completed", "failed", "completed", "failed", "completed"]
    assert worker.running
    assert b"its record is corrupt" in server.hget(keys.job(ids[3]), "error")


def test_jobs_whose_type_is_missing_or_no_text_do_not_keep_the_others(client, start_worker):
    ids = client.enqueue_many({"type": "pid", "payload": {}} for _ in range(5))
    server, keys = client.server.client, client.server.keys.for_queue("default")
    server.hdel(keys.job(ids[1]), "type")
    server.hset(keys.job(ids[3]), "type", b"\xff")
    worker = start_worker(WORKER_CONCURRENCY="1")
    others = [ids[0], ids[2], ids[4]]
    wait_until(lambda: all(client.inspector.state("default", job_id) == "completed" for job_id in others), 20)
    assert worker.running
    assert server.smembers(keys.corrupt) == {ids[1].encode(), ids[3].encode()}
