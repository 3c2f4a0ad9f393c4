"""dramatiq: a Redis list and a hash, two processes of eight threads."""

import dramatiq
import marks
from dramatiq.brokers.redis import RedisBroker
from driver import drive, program, server_url

# Without the Prometheus middleware, since the peers have no metrics, either.
dramatiq.set_broker(RedisBroker(url=server_url()))


@dramatiq.actor(queue_name="bench")
def noop(payload):
    marks.noop()


@dramatiq.actor(queue_name="bench")
def stamp(payload):
    marks.stamp(payload["sent"])


@dramatiq.actor(queue_name="bench")
def image(payload):
    marks.image()


@dramatiq.actor(queue_name="bench")
def warm(payload):
    pass


if __name__ == "__main__":
    actors = {"noop": noop, "stamp": stamp, "image": image, "warm": warm}
    drive(
        lambda job, payload: actors[job].send(payload),
        [program("dramatiq"), "with_dramatiq", "--processes", "2", "--threads", "8"],
    )
