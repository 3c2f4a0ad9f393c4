"""celery: prefork, two processes in addition to the main process."""

import marks
from celery import Celery
from driver import drive, program, server_url

app = Celery("with_celery", broker=server_url())
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(payload):
    marks.noop()


@app.task(name="stamp")
def stamp(payload):
    marks.stamp(payload["sent"])


@app.task(name="image")
def image(payload):
    marks.image()


@app.task(name="warm")
def warm(payload):
    pass


if __name__ == "__main__":
    drive(
        lambda job, payload: app.tasks[job].delay(payload),
        [program("celery"), "-A", "with_celery", "worker", "-c", "2", "-P", "prefork", "-l", "ERROR"],
    )
