"""Jobs, independent of the server."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID
from zlib import crc32

import msgspec

from gopher.base.fork_locks import ForkLock
from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.salvage import UNREADABLE
from gopher.base.states import State as State  # noqa: PLC0414 - where others may look for it

#: The JSON of a job that was submitted without metadata.
NO_METADATA = msgspec.Raw(b"{}")
#: For threads of a handler that ask for its files at the same time.
_opening = ForkLock()


class FileRef(msgspec.Struct, omit_defaults=True, frozen=True):
    """A stored file that a job was submitted with: its key in the store, what it is called, and what it is."""

    key: str
    name: str
    size: int
    content_type: str = ""


class Envelope(msgspec.Struct, omit_defaults=True, frozen=True, gc=False):
    """The submitted part of a job: stored once as JSON, never changed, never read by a script.

    None means not given: the worker then uses the handler's option, or its settings. Durations in seconds, times in
    Unix milliseconds.
    """

    payload: msgspec.Raw = msgspec.Raw(b"{}")
    max_retries: int | None = None
    timeout: float | None = None
    #: No attempt is started later than this after the submission; the record has the time (`give_up`).
    retry_for: float | None = None
    execute_at: int | None = None
    #: The trace context of the submission (see `trace_context`).
    trace: dict[str, str] = {}
    #: The name of the API key that submitted it (see `owners`).
    owner: str = ""
    #: Whose job it is (see `NewJob.tenant`).
    tenant: str = ""
    tags: tuple[str, ...] = ()
    #: The batch that it belongs to, or that it is the callback of.
    batch: str = ""
    # Not `Raw | None`: msgspec would then read null only.
    metadata: msgspec.Raw = NO_METADATA
    #: The files that it was submitted with, by the names that its handler knows.
    files: dict[str, FileRef] = {}
    #: The id of the job that it is a copy of.
    copied_from: str = ""
    #: As in the submission: url, events, include.
    callback: dict[str, Any] = {}
    #: Whether the payload here only refers to the real one, a file of the job (see `files.large_payloads`).
    payload_is_file: bool = False


#: The JSON of an envelope with a payload only, as nearly all are.
BARE_ENVELOPE = b'{"payload":%s}'

decode_envelope = msgspec.json.Decoder(Envelope).decode


def read_envelope(data: bytes) -> Envelope:
    """Decode an envelope. A corrupt one becomes an empty one, whose job fails in the child."""
    try:
        return decode_envelope(data)
    except UNREADABLE:
        return Envelope()


def with_field(envelope: bytes, field: bytes) -> bytes:
    """Return an envelope with an additional field, such as `"owner":"shop"`.

    Inserted as text: decoding the envelope, which we have written ourselves, would cost more than everything else.
    """
    return b"%s%s%s}" % (envelope[:-1], b"" if envelope == b"{}" else b",", field)


def died_of_memory(how: str) -> bool:
    """Return whether a child died for lack of memory; `how` is what its job's record has of it (`crashes`)."""
    return "memory" in how


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job to be stored in a queue.

    `due`, `expires` and `give_up` are Unix milliseconds as text, or `+5000` for milliseconds from now by the server's
    clock, since the submitter's may be wrong. "" means immediately, and never.
    """

    id: str
    type: str
    envelope: bytes
    queue: str = "default"
    priority: str = DEFAULT_PRIORITY
    due: str = ""
    expires: str = ""
    #: When no other attempt is started any more (`retry_for`).
    give_up: str = ""
    #: Seconds to keep the finished job's record; None is the default.
    retention: float | None = None
    #: While a job of the same owner and type with this key is unfinished, for at most `unique_for` seconds, another one
    #: is not stored.
    unique_key: str = ""
    unique_for: float = 366 * 86400.0
    #: What it does to that other job (see `base.unique_modes`), "" to keep it; seconds to postpone that at most.
    unique_mode: str = ""
    max_wait: float | None = None
    #: Id of the job whose folder has its files, with `replace`: its own, or that of the job that it replaces.
    folder: str = ""
    #: Where the type's limit is one for each key (`Limit.per_key`), jobs with the same key share one.
    limit_key: str = ""
    #: Ids of the jobs in the same queue that must finish first, and what happens if one does not complete.
    after: tuple[str, ...] = ()
    on_parent_failure: str = "fail"
    #: (id, queue) of those in `after` that are in other queues, or are batches. Not stored.
    remote_parents: tuple[tuple[str, str], ...] = ()
    #: The batch that it belongs to.
    batch: str = ""
    #: As in the envelope (see `owners`).
    owner: str = ""
    #: What its end tells something in another queue: `<kind> <queue> <what it is about>` (see `queue.relay`).
    tells: tuple[str, ...] = ()
    #: Digest of the submission if that has chosen the job's id (`job_id`): a repeat is the same job.
    named: str = ""
    #: Where its end is reported to, as a line (see `webhooks.callback_line`).
    callback: str = ""
    #: Whose job it is: jobs that wait are served in turn by tenant. Also in the envelope.
    tenant: str = ""
    #: When its submission is acknowledged (see `gopher.base.durability`), "" for the default. Not stored.
    durability: str = ""
    #: Whether it is stored only if a live worker serves its type and queue. Not stored.
    require_worker: bool = False
    #: (name, id) of its uploads. They are in the envelope once it is known that they exist (see `files.uploads`).
    files: tuple[tuple[str, str], ...] = ()
    #: What its id is derived from, besides a time, if a request with an idempotency key made it. Not stored.
    seed: str = ""

    @property
    def unique_name(self) -> str:
        """Return type, unique key and owner as one string, unique among unfinished jobs of a queue; "" without a key.

        Types and keys contain no spaces, so this is unambiguous.
        """
        if not self.unique_key:
            return ""
        return f"{self.type} {self.unique_key} {self.owner}" if self.owner else f"{self.type} {self.unique_key}"

    @property
    def is_plain(self) -> bool:
        """Whether the job runs immediately, does not expire, and has no options but perhaps a tenant, as nearly all."""
        special = (
            self.due
            or self.expires
            or self.give_up
            or self.unique_key
            or self.limit_key
            or self.after
            or self.tells
            or self.named
            or self.callback
        )
        return not special and self.retention is None


#: Number of hexadecimal digits at the end of an id that are a hint of its queue.
HINT_DIGITS = 3
#: Maps a random digit to one with the two variant bits 0b10 of a UUID.
_VARIANT = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}


@lru_cache(maxsize=4096)
def queue_hint(queue: str) -> str:
    """Return the last digits of ids of a queue's jobs, so that a job is searched in that queue first."""
    return f"{crc32(queue.encode()) & 0xFFF:0{HINT_DIGITS}x}"


def with_hint(job_id: str, queue: str) -> str:
    """Convert the id of another queue's job to one for this queue, without changing its order."""
    return job_id[:-HINT_DIGITS] + queue_hint(queue)


def new_job_id(queue: str = "default") -> str:
    """Return a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, 62 random bits, 12 bits that hint at the queue."""
    made, random = f"{time.time_ns() // 1_000_000:012x}", os.urandom(8).hex()
    # 7 is the version.
    return f"{made[:8]}-{made[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:]}{queue_hint(queue)}"


def new_job_ids(count: int, queue: str = "default") -> list[str]:
    """Return `count` ids of the same moment, in ascending order.

    The first one and the increments are random (RFC 9562, 6.2, method 2).
    """
    first, hint = new_job_id(), queue_hint(queue)
    # Within the 36 bits before the hint: the first value, and a maximum step so that the last value fits.
    head, place, furthest = first[:-12], int(first[-12:-HINT_DIGITS], 16), 2**35 // (count + 1)
    step = int.from_bytes(os.urandom(4)) % furthest + 1
    begin = place % (2**36 - count * step)
    # With an extra leading digit, which is removed again: `hex` omits leading zeros, and is twice as fast as formats.
    numbers = range(2**36 + begin, 2**36 + begin + count * step, step)
    return [head + hex(number)[-9:] + hint for number in numbers]


def job_id_from(made: int, seed: str) -> str:
    """Return the id, a UUIDv7 as well, of a job whose like gets the same one: of a moment (Unix ms), and a text."""
    value = bytearray(made.to_bytes(6, "big") + hashlib.sha256(seed.encode()).digest()[:10])
    # The version and the variant.
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(value)))


def has_time(job_id: str) -> bool:
    """Return whether an id tells when its job was created: all but those that submitters have chosen do."""
    return job_id[14:15] == "7"


def created_ms(job_id: str) -> int:
    """Return the creation time of an id in Unix milliseconds, by the creator's clock."""
    if job_id[8:9] == "-":
        # The usual form, at a tenth of the time of a complete parse.
        return int(job_id[:8] + job_id[9:13], 16)
    return UUID(job_id).int >> 80


class Reporter:
    """Receives a handler's reports. This one, for handlers run in process, logs them; a child's sends them."""

    def progress(self, fraction: float, message: str) -> None:
        logging.getLogger("gopher.job").info("progress %.0f%% %s", fraction * 100, message)

    def log(self, line: str) -> None:
        logging.getLogger("gopher.job").info("%s", line)

    def cancelled(self) -> bool:
        return False

    def frozen_seconds(self) -> float:
        return 0.0


class JobFiles(Protocol):
    """The files of a job, as its handler sees them."""

    @property
    def paths(self) -> Mapping[str, Path]: ...
    def attach(self, content: bytes | str | os.PathLike[str], name: str) -> str: ...
    def of_parent(self, job_id: str, name: str) -> Path: ...
    def stored_path(self, name: str) -> Path | None: ...
    def payload(self) -> bytes: ...
    def close(self) -> None: ...


def _no_files(job: "Job") -> JobFiles:
    raise RuntimeError(f"{job!r} has no store for files: it does not run in a worker")


class Job(msgspec.Struct, kw_only=True, eq=False, weakref=True):
    """The handler's view of its job: attributes, and methods to report progress."""

    id: str
    type: str
    queue: str = "default"
    priority: str = DEFAULT_PRIORITY
    attempt: int = 1
    max_retries: int = 0
    metadata: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    #: Time of the soft timeout, in Unix seconds.
    deadline: float | None = None
    #: Results of the jobs that it waited for, by id.
    parents: dict[str, Any] = {}
    #: Its trace id, 32 hexadecimal digits; "" if it was submitted without one.
    trace_id: str = ""
    #: Where it was submitted in that trace, in the format of the header; "" without one.
    traceparent: str = ""
    #: Id of the batch that it belongs to, or that it is the callback of; "" for none.
    batch: str = ""
    #: Name of the API key that submitted it, "" if trusted. Jobs that its handler enqueues inherit it.
    owner: str = ""
    #: Receives reports; not for handlers.
    reporter: Reporter = msgspec.field(default_factory=Reporter)
    #: The files that it was submitted with, opens its files, and has opened them; not for handlers.
    uploads: dict[str, FileRef] = {}
    #: The name of the file with its payload, "" if its record has that; not for handlers.
    payload_file: str = ""
    open_files: Callable[["Job"], JobFiles] = _no_files
    opened: JobFiles | None = None

    def progress(self, fraction: float, message: str = "") -> None:
        """Report progress: a fraction from 0 to 1, and a message.

        Invalid numbers are ignored, with a line in the job's log: reports never fail a job.
        """
        try:
            share = float(fraction)
        except Exception as error:  # noqa: BLE001 - an object of a handler may raise anything
            self.reporter.log(f"progress({type(fraction).__name__}) was ignored: {type(error).__name__}")
            return
        if share == share:
            self.reporter.progress(min(max(share, 0.0), 1.0), _text(message))

    def log(self, message: object, *args: object) -> None:
        """Add a line to the job's log, with %-formatting as in `logging`. As there, what can't be formatted raises
        nothing: the line says so."""
        self.reporter.log(_formatted(message, args) if args else _text(message))

    def cancelled(self) -> bool:
        """Return whether the job's cancellation was requested."""
        return self.reporter.cancelled()

    @property
    def files(self) -> Mapping[str, Path]:
        """The files that it was submitted with: a path for each name. A file is fetched when its path is asked for, and
        deleted when the attempt ends."""
        return self._files().paths

    def attach(self, content: bytes | str | os.PathLike[str], name: str = "") -> str:
        """Store bytes, or the file at a path, with the job, and return its name: by default that of the path.

        It replaces a file of the same name. The file is kept as long as the job.
        """
        return self._files().attach(content, name)

    def parent_file(self, job_id: str, name: str) -> Path:
        """Return the path of a file that a job in `parents` has stored, fetched like those of `files`."""
        return self._files().of_parent(job_id, name)

    def stored_path(self, name: str) -> Path | None:
        """Return where a file that it has attached is on this machine, None with a store elsewhere."""
        return self._files().stored_path(name)

    def stored_payload(self) -> bytes:
        """Return the payload of a job whose record only refers to it; not for handlers."""
        return self._files().payload()

    def _files(self) -> JobFiles:
        with _opening:
            if self.opened is None:
                self.opened = self.open_files(self)
            return self.opened

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.type} attempt {self.attempt}>"


def _formatted(message: object, args: tuple[object, ...]) -> str:
    text = _text(message)
    try:
        # One mapping is for %(name)s.
        return text % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
    except Exception as error:  # noqa: BLE001 - as of `logging`
        return f"{text} [its arguments {', '.join(map(_shown, args))} do not fit: {type(error).__name__}]"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001
        return f"[a {type(value).__name__} that can't be shown: {type(error).__name__}]"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001
        return f"[a {type(value).__name__} that can't be shown: {type(error).__name__}]"


#: The job that the calling code runs in; set by the runner of the handler.
running_job: ContextVar[Job | None] = ContextVar("gopher_current_job", default=None)
#: The job of this process, in a child: threads started by a handler don't inherit the context variable.
_process_job: Job | None = None


def set_process_job(job: Job) -> None:
    """Set the current job for all threads of this process."""
    global _process_job  # noqa: PLW0603 - it is the process's own
    _process_job = job


def current_job() -> Job | None:
    """Return the job that the calling code runs in, None outside a handler."""
    return running_job.get() or _process_job
