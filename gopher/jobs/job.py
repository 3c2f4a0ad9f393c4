"""A job as the parts of Gopher hand it to each other. Nothing here knows the server."""

import hashlib
import logging
import os
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec

from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.salvage import UNREADABLE
from gopher.base.states import State as State  # noqa: PLC0414 - where others may look for it

#: The JSON of a job that was submitted without metadata.
NO_METADATA = msgspec.Raw(b"{}")


class Envelope(msgspec.Struct, omit_defaults=True, frozen=True):
    """What was submitted: stored once as JSON, never changed, never read by a script.

    What is None was not said: the worker that runs the job fills it from the handler's
    own options, then from its settings. Durations in seconds, times in Unix milliseconds.
    """

    payload: msgspec.Raw = msgspec.Raw(b"{}")
    max_retries: int | None = None
    timeout: float | None = None
    #: No attempt is begun later than so long after the submission.
    retry_for: float | None = None
    execute_at: int | None = None
    #: The trace that it was submitted in (see `trace_context`).
    trace: dict[str, str] = {}
    #: The name of the API key that submitted it (see `owners`).
    owner: str = ""
    # Not `Raw | None`: msgspec would then read null only.
    metadata: msgspec.Raw = NO_METADATA


#: How one is written that has a payload (JSON) and nothing else, as nearly all have.
BARE_ENVELOPE = b'{"payload":%s}'

decode_envelope = msgspec.json.Decoder(Envelope).decode


def read_envelope(data: bytes) -> Envelope:
    """Return an envelope. Of one that was corrupted nothing is known: its job fails in the child."""
    try:
        return decode_envelope(data)
    except UNREADABLE:
        return Envelope()


def with_field(envelope: bytes, field: bytes) -> bytes:
    """Return an envelope with one more field, such as `"owner":"shop"`.

    An envelope is an object that we have written ourselves: to decode it would cost more than all the rest.
    """
    return b"%s%s%s}" % (envelope[:-1], b"" if envelope == b"{}" else b",", field)


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job on its way into a queue.

    `due` and `expires` are Unix milliseconds as text, or `+5000` for so many from now by the server's
    clock: whoever submits may have a wrong one. "" is at once, and never.
    """

    id: str
    type: str
    envelope: bytes
    queue: str = "default"
    priority: str = DEFAULT_PRIORITY
    due: str = ""
    expires: str = ""
    #: Seconds that the record is kept after the end; None is the default.
    retention: float | None = None
    #: While a job of its owner and type with this key waits or runs, at most `unique_for` seconds, another one is not
    #: stored.
    unique_key: str = ""
    unique_for: float = 366 * 86400.0
    #: Jobs with the same key share a bucket of their type's limit; others have the type's own.
    limit_key: str = ""
    #: Ids of the jobs in the same queue that must end first, and what happens when one does not complete.
    after: tuple[str, ...] = ()
    on_parent_failure: str = "fail"
    #: As the envelope has it (see `owners`).
    owner: str = ""

    @property
    def unique_name(self) -> str:
        """Return type, unique key and owner in one, which no two unfinished jobs of a queue share; "" without a key.

        Types and keys contain no spaces, so the parts can't be confused.
        """
        if not self.unique_key:
            return ""
        return f"{self.type} {self.unique_key} {self.owner}" if self.owner else f"{self.type} {self.unique_key}"

    @property
    def is_plain(self) -> bool:
        """Whether it may run at once, at any time, and there is nothing else to it. Nearly all jobs are plain."""
        special = self.due or self.expires or self.unique_key or self.limit_key or self.after
        return not special and self.retention is None


#: Hexadecimal digits at the end of an id that hint at its queue.
HINT_DIGITS = 3
#: Where an id has two bits that say its variant, 0b10: a random digit, and what is written for it.
_VARIANT = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}


@lru_cache(maxsize=4096)
def queue_hint(queue: str) -> str:
    """Return the last digits of the ids that are made for a queue: who looks for a job asks that queue first."""
    return f"{crc32(queue.encode()) & 0xFFF:0{HINT_DIGITS}x}"


def with_hint(job_id: str, queue: str) -> str:
    """Return an id that was made for another queue as one for this queue. Their order stays as it was."""
    return job_id[:-HINT_DIGITS] + queue_hint(queue)


def new_job_id(queue: str = "default") -> str:
    """Return a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, 62 random bits, 12 bits that hint at the queue."""
    made, random = f"{time.time_ns() // 1_000_000:012x}", os.urandom(8).hex()
    # 7 is the version.
    return f"{made[:8]}-{made[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:]}{queue_hint(queue)}"


def new_job_ids(count: int, queue: str = "default") -> list[str]:
    """Return so many ids at once, in ascending order: they are of the same moment.

    What is random is the first one, and how far each is from the one before (RFC 9562, 6.2, method 2).
    """
    first, hint = new_job_id(), queue_hint(queue)
    # Of the 36 bits before the hint: where the first one is, and a step with which the last one has room.
    head, place, furthest = first[:-12], int(first[-12:-HINT_DIGITS], 16), 2**35 // (count + 1)
    step = int.from_bytes(os.urandom(4)) % furthest + 1
    begin = place % (2**36 - count * step)
    # With a digit before them that is cut off again: `hex` writes no zeros there, and takes half of what formats do.
    numbers = range(2**36 + begin, 2**36 + begin + count * step, step)
    return [head + hex(number)[-9:] + hint for number in numbers]


def job_id_from(made: int, seed: str) -> str:
    """Return the id, a UUIDv7 as well, of a job whose like gets the same one: of a moment (Unix ms), and a text."""
    value = bytearray(made.to_bytes(6, "big") + hashlib.sha256(seed.encode()).digest()[:10])
    # The version and the variant.
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(value)))


def created_ms(job_id: str) -> int:
    """Return when an id was made, in Unix milliseconds, by the clock of who made it."""
    if job_id[8:9] == "-":
        # As it is always written: at a tenth of what it takes to read all of it.
        return int(job_id[:8] + job_id[9:13], 16)
    return UUID(job_id).int >> 80


class Reporter:
    """Takes what a handler reports. This one, for handlers run in process, logs it; a child's sends it."""

    def progress(self, fraction: float, message: str) -> None:
        logging.getLogger("gopher.job").info("progress %.0f%% %s", fraction * 100, message)

    def log(self, line: str) -> None:
        logging.getLogger("gopher.job").info("%s", line)

    def cancelled(self) -> bool:
        return False


class Job(msgspec.Struct, kw_only=True, eq=False, weakref=True):
    """What a handler is given beside its payload: who the job is, and how to report on it."""

    id: str
    type: str
    queue: str = "default"
    priority: str = DEFAULT_PRIORITY
    attempt: int = 1
    max_retries: int = 0
    metadata: dict[str, Any] = {}
    #: When the soft timeout comes, in Unix seconds.
    deadline: float | None = None
    #: The results of the jobs that it waited for, by their ids.
    parents: dict[str, Any] = {}
    #: The trace that it belongs to, 32 hexadecimal digits; "" when it was submitted without one.
    trace_id: str = ""
    #: The name of the API key that it was submitted with, "" when trusted. Jobs that its handler enqueues inherit it.
    owner: str = ""
    #: Takes what is reported; not for handlers.
    reporter: Reporter = msgspec.field(default_factory=Reporter)

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the job is: a fraction from 0 to 1, and what is being done."""
        self.reporter.progress(min(max(float(fraction), 0.0), 1.0), str(message))

    def log(self, message: str, *args: object) -> None:
        """Add a line to the job's log, with %-formatting as in `logging`."""
        self.reporter.log(message % args if args else message)

    def cancelled(self) -> bool:
        """Return whether somebody asked to cancel this job."""
        return self.reporter.cancelled()

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.type} attempt {self.attempt}>"


#: The job that the calling code runs in; set by what runs a handler.
running_job: ContextVar[Job | None] = ContextVar("gopher_current_job", default=None)
#: The job that this process runs, in a child: threads that a handler starts have no context of their own to find it in.
_process_job: Job | None = None


def set_process_job(job: Job) -> None:
    """Make a job the current one in all threads of this process."""
    global _process_job  # noqa: PLW0603 - it is the process's own
    _process_job = job


def current_job() -> Job | None:
    """Return the job that the calling code runs in, None outside a handler."""
    return running_job.get() or _process_job
