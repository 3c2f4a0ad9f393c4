"""Two handlers of the demo that fail on purpose: one recovers on retry, one needs an operator."""

import csv
import re
from pathlib import Path
from typing import Any

import msgspec

from gopher.config.settings import Settings
from gopher.jobs.backoff import Backoff
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job

#: Short, to keep the demo short.
_SOON = Backoff("constant", base="500ms", jitter=False)
_NAME = re.compile(r"[a-z0-9_-]{1,40}(\.csv)?")


class Unsteady(msgspec.Struct, forbid_unknown_fields=True):
    """A service, identified by `name`, that is down for the given number of calls."""

    name: str
    failures: int

    def __post_init__(self) -> None:
        _check(self.name)


class Sum(msgspec.Struct, forbid_unknown_fields=True):
    """A CSV file in GOPHER_FILES with a column `amount`."""

    file: str

    def __post_init__(self) -> None:
        _check(self.file)


@handler("demo_unsteady", backoff=_SOON, max_retries=3)
def unsteady(job: Job, payload: Unsteady) -> dict[str, Any]:
    """Calls a service that is down for its first calls, then works."""
    # Counted as lines of a file, since attempts may run in different processes.
    calls = _files() / f"{payload.name}.calls"
    with calls.open("a+") as file:
        file.write(f"{job.id} attempt {job.attempt}\n")
        file.seek(0)
        count = len(file.readlines())
    job.log("call %d of the service", count)
    if count <= payload.failures:
        raise ConnectionError(f"the service is down (call {count})")
    return {"calls": count}


@handler("demo_sum", backoff=_SOON, max_retries=1)
def add_up(job: Job, payload: Sum) -> dict[str, Any]:
    """Adds up the column `amount` of a CSV file."""
    with (_files() / payload.file).open(newline="") as file:
        amounts = [int(row["amount"]) for row in csv.DictReader(file)]
    job.log("%d rows", len(amounts))
    return {"rows": len(amounts), "sum": sum(amounts)}


def _files() -> Path:
    folder = Settings.from_env().files
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name must match {_NAME.pattern}")
