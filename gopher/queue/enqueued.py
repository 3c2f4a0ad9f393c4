"""The reply of the script that stores new jobs. Programs that only submit jobs need no other one."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gopher.jobs.job import NewJob

from .arguments import Request


class Enqueued(NamedTuple):
    """Which jobs were stored. `answers` has one for each job: NEW, DUPLICATE, or id, state and priority of the job that
    has its unique key (and `replaced` or `rejected`), or BEYOND and the bound that it is beyond.

    `kind` is OK, REPLAYED (then `detail` is the first request's `answer`, and `answers` are those of the first time),
    MISMATCH (another request had that idempotency key) or NOPARENT (then `detail` is the id of the job that does not
    exist). Nothing was stored either with BEYOND (some jobs do not fit), TAKEN (some have chosen ids of other jobs),
    REJECTED (some reject others that have their unique keys) and MOVED (the files of some must be with other jobs;
    `answers` are the ids of these).
    """

    kind: str
    detail: str
    answers: list[str]


def stored_ids(jobs: Sequence[NewJob], request: Request | None, reply: Enqueued) -> set[str]:
    """Return the ids of those jobs that are stored: under the ids that they were sent with, or as another's payload."""
    if reply.kind == "REPLAYED":
        return {job.id for job in jobs} if request is not None and request.answer == reply.detail else set()
    if reply.kind != "OK":
        return set()
    return {
        job.id
        for job, answer in zip(jobs, reply.answers, strict=True)
        # One with a chosen id may be stored already.
        if answer in ("NEW", "DUPLICATE") or answer.startswith(f"{job.id} ") or answer.endswith(" replaced")
    }


def with_exceptions(exceptions: list[Any], usual: list[str]) -> list[str]:
    """Return an answer for each: the usual one, unless the script returned another one with its number."""
    for number, answer in zip(exceptions[0::2], exceptions[1::2], strict=True):
        usual[number - 1] = answer.decode()
    return usual


def reader_of_enqueued(count: int) -> Callable[[list[Any]], Enqueued]:
    def read(reply: list[Any]) -> Enqueued:
        new = ["NEW"] * count
        if reply[0] == b"OK":
            return Enqueued("OK", "", with_exceptions(reply[1:], new) if len(reply) > 1 else new)
        if reply[0] == b"REPLAYED":
            return Enqueued("REPLAYED", reply[1].decode(), with_exceptions(reply[2:], new))
        if reply[0] in (b"BEYOND", b"TAKEN", b"REJECTED", b"MOVED"):
            return Enqueued(reply[0].decode(), "", with_exceptions(reply[1], new))
        return Enqueued(reply[0].decode(), reply[1].decode() if len(reply) > 1 else "", [])

    return read


read_one_enqueued = reader_of_enqueued(1)
