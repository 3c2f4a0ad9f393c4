"""saq: Redis lists, two worker processes."""

import asyncio

import marks
from driver import drive, program, server_url
from saq import Queue

queue = Queue.from_url(server_url())


async def noop(context, *, x):
    marks.noop()


async def stamp(context, *, sent):
    marks.stamp(sent)


async def image(context, *, x):
    marks.image()


async def warm(context, *, x):
    pass


settings = {"queue": queue, "functions": [noop, stamp, image, warm], "concurrency": 10}

if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    drive(
        lambda job, payload: loop.run_until_complete(queue.enqueue(job, **payload)),
        [program("saq"), "with_saq.settings", "--workers", "2"],
    )
