"""taskiq: a Redis stream with acknowledgements, two worker processes."""

import asyncio

import marks
from driver import drive, program, server_url
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(server_url())


@broker.task
async def noop(payload: dict) -> None:
    marks.noop()


@broker.task
async def stamp(payload: dict) -> None:
    marks.stamp(payload["sent"])


@broker.task
async def image(payload: dict) -> None:
    marks.image()


@broker.task
async def warm(payload: dict) -> None:
    pass


if __name__ == "__main__":
    import with_taskiq as app

    loop = asyncio.new_event_loop()
    started = []

    def send(job, payload):
        if not started:
            started.append(loop.run_until_complete(app.broker.startup()))
        loop.run_until_complete(getattr(app, job).kiq(payload))

    drive(send, [program("taskiq"), "worker", "with_taskiq:broker", "--workers", "2", "--log-level", "ERROR"])
