"""What is passed to the scripts: values of the moves, and how they are written."""

from typing import Any, NamedTuple

import msgspec

from gopher.jobs.job import NewJob


class Request(NamedTuple):
    """An idempotent request: digests of the key and of the request, and the data to repeat the first response."""

    key: str
    digest: str
    answer: str


class Completion(msgspec.Struct, frozen=True, gc=False):
    """A result to be stored; `result` and `log` are JSON, b"" for none, `duration` in ms, `usage` as in `as_usage`."""

    job_id: str
    token: str
    duration: float
    result: bytes
    log: bytes
    usage: str = ""


class Failure(NamedTuple):
    """A failed attempt to be stored; `error`, `row`, `log` are JSON, `duration` in ms."""

    job_id: str
    token: str
    duration: float
    error: bytes
    row: bytes
    log: bytes
    #: How the child died, e.g. SIGSEGV; "" if it did not.
    crash: str
    usage: str = ""


def as_text(data: bytes) -> str:
    """Decode JSON to text, since the server's MessagePack has no other strings. Invalid text must not fail the call."""
    return data.decode(errors="replace")


def completed(done: Completion) -> tuple[str | bool, ...]:
    """Return the arguments of complete.lua for a job, without empty ones."""
    row = (done.job_id, done.token, f"{done.duration:.3f}")
    if done.log or done.usage:
        rest = (as_text(done.log) if done.log else False, *([done.usage] if done.usage else ()))
        return (*row, as_text(done.result) if done.result else False, *rest)
    return (*row, as_text(done.result)) if done.result else row


def special(job: NewJob) -> str:
    """Return the rare fields of a job for enqueue.lua, one per line, since names and keys contain no line breaks."""
    # The server has no shorter expiry than a millisecond.
    unique = (job.unique_name, str(max(round(job.unique_for * 1000), 1)))
    elsewhere = dict(job.remote_parents)
    after = [f"{parent}@{elsewhere[parent]}" if parent in elsewhere else parent for parent in job.after]
    parents = (",".join(after), job.on_parent_failure)
    first = (job.due, job.expires, job.give_up, str(as_ms(job.retention)))
    ends = (",".join(job.tells), job.named, job.callback)
    mode = (job.unique_mode, str(as_ms(job.max_wait)), job.folder) if job.unique_mode else ()
    return "\n".join((*first, *unique, job.limit_key, *parents, *ends, *mode))


def as_ms(seconds: float | None) -> int | str:
    return "" if seconds is None else round(seconds * 1000)


def as_usage(user: float, system: float, peak: int, file_class: int = 0) -> str:
    """Return what an attempt has used as records have it: ms of CPU time, and bytes of memory (0: not known).

    The class of its files follows, if it has any.
    """
    used = f"{user * 1000:.3f} {system * 1000:.3f} {peak}"
    return f"{used} {file_class}" if file_class else used


def as_number(value: float | None) -> str:
    return "" if value is None else repr(value)


def attempt(failure: Failure) -> tuple[Any, ...]:
    return (failure.crash, f"{failure.duration:.3f}", failure.error, failure.row, failure.log)
