"""Handlers within two middlewares that write down what they hear. `GOPHER_HANDLERS=tests.hooks.noted_handlers`."""

import asyncio
import os
import signal
import threading
import time
from contextvars import ContextVar

from gopher import Client, Discard, Job, RateLimited, Retry, Snooze, handler, middleware

#: Who is set by `before` is seen by the handler.
caller: ContextVar[str] = ContextVar("caller", default="nobody")


def note(*words: object) -> None:
    """Write a line at once: the process may be the next one to die."""
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(" ".join(map(str, words)) + "\n")


class Notes(middleware.Middleware):
    def __init__(self, name: str) -> None:
        self.name = name

    def before_enqueue(self, jobs) -> None:
        note(self.name, "before_enqueue", *(job.type for job in jobs))

    def after_enqueue(self, jobs, error) -> None:
        note(self.name, "after_enqueue", *(job.type for job in jobs), type(error).__name__ if error else "stored")

    def before(self, job: Job) -> None:
        note(self.name, "before", job.type, job.attempt)
        caller.set(self.name)
        misbehave(job, self.name, "before")

    def on_success(self, job: Job, result: object) -> None:
        misbehave(job, self.name, "on_success")

    def after(self, job: Job, outcome: middleware.Outcome) -> None:
        note(self.name, "after", job.type, job.attempt, outcome.kind, outcome.result)
        misbehave(job, self.name, "after")

    def on_failure(self, job: Job, outcome: middleware.Outcome) -> None:
        where = "child" if job.reporter.__class__.__name__ == "ChildReporter" else "beside"
        note(self.name, "on_failure", job.type, job.attempt, outcome.kind, outcome.error_type, where)
        misbehave(job, self.name, "on_failure")

    def on_dead(self, job: Job, outcome: middleware.Outcome) -> None:
        note(self.name, "on_dead", job.type, job.attempt, outcome.kind, type(outcome.error).__name__)


def misbehave(job: Job, name: str, hook: str) -> None:
    """Do in a hook what the job's metadata asks for, e.g. {"inner.before": "raise"}."""
    what = job.metadata.get(f"{name}.{hook}")
    if what == "raise":
        raise ValueError(f"{hook} of {name}")
    if what == "discard":
        raise Discard("not today")
    if what == "snooze" and job.attempt == 1 and not os.path.exists(os.environ["NOTES"] + ".snoozed"):
        with open(os.environ["NOTES"] + ".snoozed", "w"):
            raise Snooze(0.01)
    if what == "hang":
        time.sleep(600)
    if what == "hang in C":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        time.sleep(600)
    if what == "thread":
        threading.Thread(target=time.sleep, args=(600,), daemon=True, name="kept").start()


class Processes:
    """Notes what happens to processes in a file of its own, with who is asked: the worker, or a child."""

    def _note(self, what: str) -> None:
        with open(os.environ["NOTES"] + ".processes", "a") as notes:
            notes.write(f"{what} {os.getpid()}\n")

    def preload(self) -> None:
        self._note("preload")

    def on_child_start(self) -> None:
        self._note("start")

    def on_child_stop(self) -> None:
        self._note("stop")


middleware.add(Notes("outer"))
middleware.add(Notes("inner"))
middleware.add(Processes())


@handler("works")
def works(job: Job, payload: dict) -> str:
    return caller.get()


@handler("awaits")
async def awaits(job: Job, payload: dict) -> str:
    await asyncio.sleep(0)
    return caller.get()


@handler("pid")
def pid(job: Job, payload: dict) -> int:
    return os.getpid()


@handler("fails")
def fails(job: Job, payload: dict) -> None:
    raise KeyError("x")


@handler("raises")
def raises(job: Job, payload: dict) -> None:
    raise {
        "Retry": Retry(after=0.01),
        "Discard": Discard("no"),
        "RateLimited": RateLimited(retry_after=0.01),
    }[payload["what"]]


@handler("unstorable")
def unstorable(job: Job, payload: dict) -> object:
    return {1, 2}


@handler("typed")
def typed(job: Job, payload: dict[str, int]) -> None:
    pass


@handler("dies")
def dies(job: Job, payload: dict) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handler("sleeps")
def sleeps(job: Job, payload: dict) -> None:
    time.sleep(600)


@handler("stubborn")
def stubborn(job: Job, payload: dict) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
    while True:
        time.sleep(1)


@handler("enqueues")
def enqueues(job: Job, payload: dict) -> str:
    with Client() as client:
        return client.enqueue("works", {})
