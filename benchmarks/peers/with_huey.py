"""huey: a Redis list, two consumer processes."""

import marks
from driver import drive, program, server_port
from huey import RedisHuey

huey = RedisHuey("bench", host="127.0.0.1", port=server_port(), results=False)


@huey.task()
def noop(payload):
    marks.noop()


@huey.task()
def stamp(payload):
    marks.stamp(payload["sent"])


@huey.task()
def image(payload):
    marks.image()


@huey.task()
def warm(payload):
    pass


if __name__ == "__main__":
    import with_huey as app

    drive(
        lambda job, payload: getattr(app, job)(payload),
        [program("huey_consumer"), "with_huey.huey", "-w", "2", "-k", "process", "-q"],
    )
