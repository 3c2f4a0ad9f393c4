"""The server's limit: one Python process, BRPOPLPUSH and LREM pipelined, one round trip per job."""

import json

import marks
import redis
from driver import drive, server_port

server = redis.Redis(port=server_port())


def send_many(job, payloads):
    server.lpush("bench", *(json.dumps([job, payload]) for payload in payloads))


JOBS = {
    "noop": lambda payload: marks.noop(),
    "stamp": lambda payload: marks.stamp(payload["sent"]),
    "warm": lambda payload: None,
}


def work():
    taken = server.brpoplpush("bench", "taken", 0)
    while True:
        job, payload = json.loads(taken)
        JOBS[job](payload)
        with server.pipeline(transaction=False) as pipe:
            _, taken = pipe.lrem("taken", -1, taken).brpoplpush("bench", "taken", 0).execute()


if __name__ == "__main__":
    drive(lambda job, payload: server.lpush("bench", json.dumps([job, payload])), work, send_many)
