"""Callbacks: where the end of a job is reported to. Webhooks share their events and their URLs (see webhooks.py)."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gopher.base.patterns import regex
from gopher.base.states import ENDED, State
from gopher.errors import InvalidJob

from .fields import one_of

#: The type of the jobs that deliver webhooks; clients can't submit them.
DELIVERY_TYPE = "gopher.webhook"
#: What a job's end is called, without the `job.` of the message.
EVENTS = tuple(sorted(map(str, ENDED)))
INCLUDES = ("payload", "result", "error")
MAX_URL = 2048
_URL = regex(r"https?://[!-~]+", re.IGNORECASE)

Url = Annotated[
    str,
    Meta(
        description="URL of the receiver, http:// or https://.",
        examples=["https://example.com/hooks/gopher"],
        extra={"metavar": "URL"},
    ),
]
_Event = Annotated[str, Meta(extra_json_schema=one_of(EVENTS))]
Events = Annotated[
    list[_Event],
    Meta(description="Send these events; by default all.", max_length=len(EVENTS), extra={"metavar": "EVENT"}),
]
_Part = Annotated[str, Meta(extra_json_schema=one_of(INCLUDES))]
Include = Annotated[
    list[_Part],
    Meta(
        description="Also send these parts of the job: payload, result, error (its message).",
        max_length=len(INCLUDES),
        extra={"metavar": "PART"},
    ),
]


class Callback(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Where the end of a job is reported to."""

    url: Url
    events: Events = []
    include: Include = []


#: What the end of a batch is called, without the `batch.` of the message.
BATCH_EVENTS = (str(State.COMPLETED), str(State.FAILED))
_BatchEvent = Annotated[str, Meta(extra_json_schema=one_of(BATCH_EVENTS))]


class BatchCallback(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Where the end of a batch is reported to."""

    url: Url
    events: Annotated[
        list[_BatchEvent],
        Meta(
            description="Send these events; by default all: completed, all jobs have; failed, not all have.",
            max_length=len(BATCH_EVENTS),
        ),
    ] = []


def check_batch_callback(callback: BatchCallback) -> Callback:
    """Validate the callback of a batch, and return it as that of a job. Raises InvalidJob."""
    check_url(callback.url, "/callback/url")
    events = check_choices(callback.events, BATCH_EVENTS, "/callback/events")
    return Callback(callback.url, list(events or BATCH_EVENTS))


def check_callback(callback: Callback | None) -> Callback | None:
    """Validate and return the callback of a submission. Raises InvalidJob."""
    if callback is None:
        return None
    check_url(callback.url, "/callback/url")
    check_choices(callback.events, EVENTS, "/callback/events")
    check_choices(callback.include, INCLUDES, "/callback/include")
    return callback


def check_url(url: str, field: str) -> str:
    """Return a URL that messages can be sent to. Raises InvalidJob.

    Whether its host is allowed is checked whenever a message is sent, since names may resolve differently later.
    """
    try:
        parts = urlsplit(url) if _URL.fullmatch(url) and len(url) <= MAX_URL else None
        is_valid = parts is not None and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidJob(
            f"is {url!r:.60}: expected http:// or https:// with a host, without a user name, in at most {MAX_URL} "
            "printable ASCII characters",
            field,
        )
    return url


def receiver_key(url: str) -> str:
    """Return host and port of a valid URL: deliveries to each are limited."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme.lower() == 'https' else 80)}"


def check_choices(values: Sequence[str], choices: Iterable[str], field: str) -> tuple[str, ...]:
    """Return words of a list without duplicates. Raises InvalidJob."""
    known = tuple(choices)
    for index, value in enumerate(values):
        if value not in known:
            raise InvalidJob(f"is {value!r:.60}: must be one of {', '.join(known)}", f"{field}/{index}")
    return tuple(dict.fromkeys(values))


def callback_line(callback: Callback | None) -> str:
    """Return a callback as a job's record has it: its events, joined by commas, its URL, and what is included."""
    if callback is None:
        return ""
    return f"{','.join(callback.events or EVENTS)} {callback.url} {','.join(callback.include)}"


def read_callback(line: str) -> Callback | None:
    """Return the callback of a line, None if that can't be read."""
    words: list[Any] = line.split(" ")
    if len(words) != 3:
        return None
    events, url, include = words
    return Callback(url, events.split(","), include.split(",") if include else [])
