"""The lines of an export: NDJSON, each line one object with its `kind`.

The first line is a `Header`, the last one an `End` with the number of lines of each kind, so that a file which was cut
off is noticed. A job's record is exported as it is stored, including fields that this version does not know. Times are
Unix milliseconds by the server's clock.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gopher.base.salvage import text
from gopher.queue.transfer_moves import ExportedRow

#: The version of the format. Later ones may only be read by later versions of Gopher.
FORMAT = 1


class Header(msgspec.Struct, tag_field="kind", tag="gopher-export"):
    """What was exported, from where."""

    #: Its own id.
    export: str
    namespace: str
    #: Id of the installation, as in `<ns>:meta`.
    instance: str
    queues: list[str]
    #: Version of Gopher that has written it.
    version: str
    #: When it was started, by the clock of `gopherctl`.
    at: int
    format: int = FORMAT
    #: Parts that were omitted (see `PARTS`).
    without: list[str] = []


class LimitLine(msgspec.Struct, tag_field="kind", tag="limit", omit_defaults=True):
    """A limit of a type that an operator has set, in all queues."""

    type: str
    rate: str | None = None
    burst: float | None = None
    concurrency: int | None = None
    per_key: bool = False
    paused: bool = False


class TenantLine(msgspec.Struct, tag_field="kind", tag="tenant", omit_defaults=True):
    """What operators have set for a tenant, in all queues."""

    tenant: str
    weight: int = 1
    rate: str | None = None
    burst: float | None = None
    concurrency: int | None = None


class WebhookLine(msgspec.Struct, tag_field="kind", tag="webhook", omit_defaults=True):
    """A webhook with its secrets, or with the id `callbacks` the secret of callbacks: its record as it is stored."""

    id: str
    record: str
    #: Since when it is disabled (Unix ms), and why.
    disabled: str = ""


class QueueLine(msgspec.Struct, tag_field="kind", tag="queue", omit_defaults=True):
    """A queue; its jobs follow. `at` is when their ids were read, all in one step, and `jobs` how many there were."""

    name: str
    at: int
    jobs: int
    paused: bool = False


class JobLine(msgspec.Struct, tag_field="kind", tag="job", omit_defaults=True):
    """A job: the fields of its record, those that are not UTF-8 as Base64 in `binary`."""

    queue: str
    id: str
    fields: dict[str, str]
    binary: dict[str, str] = {}
    #: When its record expires, and until when its unique key counts.
    expires: int | None = None
    unique_until: int | None = None
    #: Ids of the jobs that it waits for, and of one that has failed it.
    waits_for: list[str] = []
    failed_by: str = ""
    #: Type, class of the error and location in the code of its group of dead letters, a line each.
    group: str = ""
    #: Results (JSON) of jobs of other queues that it will read, and until when each is kept.
    results: dict[str, tuple[str, int]] = {}

    def values(self) -> dict[str, bytes]:
        """Return all fields as they are stored. Raises ValueError if one is not Base64."""
        fields = {name: value.encode() for name, value in self.fields.items()}
        return fields | {name: b64decode(value, validate=True) for name, value in self.binary.items()}


class CorruptLine(msgspec.Struct, tag_field="kind", tag="corrupt"):
    """A job whose record is not one any more: it can't be imported."""

    queue: str
    id: str


class BatchLine(msgspec.Struct, tag_field="kind", tag="batch", omit_defaults=True):
    """A batch, or more of its jobs: of each its state, round, queue and type. Its last line has when it was sealed."""

    queue: str
    id: str
    #: Of its record, without the counts.
    fields: dict[str, str] = {}
    jobs: dict[str, str] = {}
    sealed_at: str = ""


class ScheduleLine(msgspec.Struct, tag_field="kind", tag="schedule", omit_defaults=True):
    """A schedule: definition, version, next time (None while paused), id of its last job."""

    name: str
    queue: str
    definition: str
    version: int = 0
    next: int | None = None
    last: str = ""


class RequestLine(msgspec.Struct, tag_field="kind", tag="request", omit_defaults=True):
    """A request with an idempotency key: what a repeat of it is answered, and until when."""

    queue: str
    digest: str
    value: str
    until: int
    #: Which of its jobs were duplicates: MessagePack as Base64.
    duplicates: str = ""


class ApiKeyLine(msgspec.Struct, tag_field="kind", tag="api_key"):
    """An API key: the SHA-256 of its secret, and its record. The secret itself is stored nowhere."""

    digest: str
    record: str


class End(msgspec.Struct, tag_field="kind", tag="end"):
    """The last line: how many lines of each kind came before."""

    lines: dict[str, int]


ExportLine = (
    Header
    | LimitLine
    | TenantLine
    | WebhookLine
    | BatchLine
    | QueueLine
    | JobLine
    | CorruptLine
    | ScheduleLine
    | RequestLine
    | ApiKeyLine
    | End
)
encode: Callable[[ExportLine], bytes] = msgspec.json.Encoder().encode
_decode: Callable[[bytes], ExportLine] = msgspec.json.Decoder(ExportLine).decode


class _Kind(msgspec.Struct):
    kind: str | None = None
    format: Any = None


_decode_kind = msgspec.json.Decoder(_Kind).decode


class InvalidLine(ValueError):
    """A line that can't be imported; the message has the reason and the remedy."""


def kind_of(line: ExportLine) -> str:
    return str(line.__struct_config__.tag)


def decode(line: bytes) -> ExportLine:
    """Read a line. Raises InvalidLine."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidLine(_why(line, error)) from None


def decode_header(line: bytes) -> Header:
    """Read the first line. Raises InvalidLine."""
    try:
        found = _decode_kind(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        found = _Kind()
    if found.kind != "gopher-export":
        raise InvalidLine("is not the first line of an export: import files that `gopherctl export` has written")
    if found.format != FORMAT:
        raise InvalidLine(
            f"says format {found.format!r:.20}, but this version reads format {FORMAT}: use the `gopherctl` of the "
            "version that has written it, or a later one"
        )
    header = decode(line)
    assert isinstance(header, Header)
    return header


def _why(line: bytes, error: Exception) -> str:
    if not line.rstrip().endswith(b"}"):
        return "is incomplete: the file was cut off, or is not an export"
    if isinstance(error, msgspec.ValidationError):
        return f"is not a line of an export: {error}".replace("Object ", "it ").replace("`", "'")
    return f"is not valid JSON: {error}"


def job_line(queue: str, row: ExportedRow, at: int) -> JobLine:
    """Return the line of a job whose record was read at `at` (see `ExportedRow`)."""
    fields, binary = _split(row.fields)
    return JobLine(
        queue=queue,
        id=row.id,
        fields=fields,
        binary=binary,
        expires=at + row.expires_in if row.expires_in >= 0 else None,
        unique_until=at + row.unique_for if row.unique_for >= 0 else None,
        waits_for=row.waits_for.split(",") if row.waits_for else [],
        failed_by=row.failed_by,
        group=text(row.group),
    )


def _split(flat: Sequence[bytes]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields of a record that are text, and the others as Base64."""
    fields: dict[str, str] = {}
    binary: dict[str, str] = {}
    for at in range(0, len(flat), 2):
        name, value = text(flat[at]), flat[at + 1]
        try:
            fields[name] = value.decode()
        except UnicodeDecodeError:
            binary[name] = b64encode(value).decode()
    return fields, binary
