"""Types of fields in requests and responses, with their descriptions in the OpenAPI document.

Their patterns are defined where they are enforced (names, job, durations). Submissions are validated separately, with
more specific messages; subclasses of `Checked` are validated by these types.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Raw

from gopher.base.durations import LONGEST
from gopher.base.durations import PATTERN as DURATION
from gopher.base.names import FILE_ID, JOB_ID, KEY, KEY_ID, KEY_NAME, QUEUE_NAME, SCHEDULE_NAME, TENANT, TYPE_NAME
from gopher.base.priorities import DEFAULT_PRIORITY, PRIORITIES
from gopher.base.states import State
from gopher.errors import InvalidJob

_FROM, _TO = "^(?:", ")$"


def whole(pattern: re.Pattern[str] | str) -> dict[str, Any]:
    """Return the schema of text that matches a pattern completely."""
    return {"pattern": f"{_FROM}{pattern if isinstance(pattern, str) else pattern.pattern}{_TO}"}


JobId = Annotated[
    str,
    Meta(
        description="Id of a job: a UUID. In requests, its letters may be upper case.",
        examples=["01a20d1c-ddd6-7e46-9daa-2af634a7f173"],
        extra_json_schema=whole(JOB_ID.pattern.replace("a-f", "A-Fa-f")),
    ),
]
WorkerId = Annotated[
    str, Meta(description="Id of a worker.", examples=["web-1-4242-5f2c9a1b7d3e8f60"], min_length=1, max_length=100)
]
WorkerState = Annotated[
    Literal["running", "quiet", "stopping"],
    Meta(description="quiet: fetches no more jobs, and finishes those that it runs; stopping: exits then."),
]
BatchId = Annotated[
    str,
    Meta(
        description="Id of a batch: a UUID.",
        examples=["01a20d1c-ddd6-7e46-9daa-2af634a7f173"],
        extra_json_schema=whole(JOB_ID.pattern.replace("a-f", "A-Fa-f")),
        extra={"metavar": "ID"},
    ),
]
TypeName = Annotated[str, Meta(description="Job type.", examples=["email"], extra_json_schema=whole(TYPE_NAME))]
QueueName = Annotated[
    str, Meta(description="Name of a queue.", examples=["default"], extra_json_schema=whole(QUEUE_NAME))
]
ScheduleName = Annotated[
    str, Meta(description="Name of a schedule.", examples=["nightly"], extra_json_schema=whole(SCHEDULE_NAME))
]
FileId = Annotated[
    str,
    Meta(
        description="Id of an upload.",
        examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"],
        extra_json_schema=whole(FILE_ID),
    ),
]
ApiKeyId = Annotated[
    str, Meta(description="Id of an API key.", examples=["3f0c9be1a7d2"], extra_json_schema=whole(KEY_ID))
]
ApiKeyName = Annotated[
    str,
    Meta(
        description="Name of the client, which is the owner of its jobs.",
        examples=["shop"],
        extra_json_schema=whole(KEY_NAME),
    ),
]
TenantName = Annotated[
    str, Meta(description="Name of a tenant.", examples=["customer:42"], extra_json_schema=whole(TENANT))
]
Owner = Annotated[
    str,
    Meta(description='Name of the API key that submitted the job, "" if trusted.', examples=["shop"]),
]
Version = Annotated[
    str,
    Meta(
        description="Version of a schedule, which each change of its definition replaces.",
        examples=["1795920000000-3f2a9c41d07e"],
        extra={"metavar": "VERSION"},
    ),
]
Key = Annotated[
    str,
    Meta(
        description="A key of your choice.",
        examples=["customer:42"],
        extra_json_schema=whole(KEY),
        extra={"metavar": "KEY"},
    ),
]
Priority = Annotated[str, Meta(examples=[DEFAULT_PRIORITY], extra_json_schema={"enum": list(PRIORITIES)})]
Status = Annotated[str, Meta(examples=[State.PENDING], extra_json_schema={"enum": list(State)})]
Time = Annotated[
    str,
    Meta(
        description="RFC 3339, with an offset.",
        examples=["2026-11-24T10:26:07.863Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
#: A time given by a client.
SubmittedTime = Annotated[
    str,
    Meta(
        description="RFC 3339, with an offset, from the year 1970 to 9999 in UTC.",
        extra={"metavar": "TIME"},
        examples=["2026-11-24T10:26:07.863Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
#: `10s`, `1h30m`, or seconds.
Duration = (
    Annotated[
        str,
        Meta(
            description="10s, 500ms, 1h30m, 2d, or a number of seconds.",
            examples=["1h30m"],
            extra={"metavar": "DURATION"},
            extra_json_schema=whole(DURATION),
        ),
    ]
    | Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": int(LONGEST)})]
    | Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": LONGEST})]
)
RateText = Annotated[
    str, Meta(description="Starts per period: 10/s, 600/m, 5/h, 1/10s; from 1/366d to 1000000/s.", examples=["10/s"])
]
#: JSON that is passed on unchanged.
AnyJson = Annotated[Raw, Meta(description="Any JSON value.")]
JsonObject = Annotated[Raw, Meta(description="A JSON object.", extra_json_schema={"type": "object"})]
Metadata = Annotated[
    Raw,
    Meta(
        description="A small JSON object, returned with the job.",
        examples=[{"order": 42}],
        extra_json_schema={"type": ["object", "null"]},
    ),
]


def one_of(words: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of an enumeration."""
    return {"enum": list(words)}


class Checked(msgspec.Struct, forbid_unknown_fields=True):
    """A request whose text fields are validated by their types. Raises InvalidJob, naming the field."""

    def __post_init__(self) -> None:
        for field, schema in _schemas_of(type(self)):
            value = getattr(self, field.name)
            if value is not None:
                check_text(value, schema, f"/{field.encode_name}")


def check_text(value: Any, schema: Mapping[str, Any], field: str) -> None:
    """Raise InvalidJob for text that does not match its schema."""
    if value not in schema.get("enum", (value,)):
        raise InvalidJob(f"is {value!r:.60}: must be one of {', '.join(schema['enum'])}", field)
    if isinstance(value, str) and not re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL):
        pattern = schema["pattern"].removeprefix(_FROM).removesuffix(_TO)
        raise InvalidJob(f"is {value!r:.60}: must match {pattern}", field)


@cache
def _schemas_of(kind: type[Checked]) -> list[tuple[msgspec.structs.FieldInfo, dict[str, Any]]]:
    """Return each text field that has a schema, with it."""
    return [(each, schema) for each in msgspec.structs.fields(kind) for schema in schemas_in(each.type)]


def schemas_in(kind: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema of the text in a type: that of X for `X | None`."""
    arguments = get_args(kind)
    metas = [each for each in arguments if isinstance(each, Meta)]
    if metas and arguments[0] is str:
        yield from (each.extra_json_schema for each in metas if each.extra_json_schema)
    elif not metas:
        for each in arguments:
            yield from schemas_in(each)
