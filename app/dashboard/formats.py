"""Template filters: numbers, times, sizes and JSON."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from markupsafe import Markup, escape

from gopher.base.durations import format_duration
from gopher.base.printable import printable_json
from gopher.base.sizes import format_size
from gopher.base.times import from_rfc3339
from gopher.jobs.attempts import HistoryRow

#: Payloads and results are truncated to this many characters.
LONGEST = 20_000
_NONE = "\u2013"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Return `12,345`, or a dash for None."""
    return _NONE if value is None else f"{value:,.0f}"


def counted(count: int, thing: str) -> str:
    """Return `1 job`, `12,345 jobs`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Return a duration: `12ms`, `3.2s`, `1h30m`."""
    return _NONE if seconds is None else format_duration(seconds)


def age(seconds: float | None) -> str:
    """Return an age in one unit: `12 s`, `3 min`, `5 h`, `2 d`; a dash for None."""
    if not seconds:
        return _NONE
    for size, name in _UNITS:
        if seconds >= size:
            return f"{int(seconds / size)} {name}"
    return "< 1 s"


def took(row: HistoryRow) -> float | None:
    """Return the seconds that an attempt took, None while it runs."""
    if row.duration is not None:
        return row.duration
    if row.started_at is None or row.ended_at is None:
        return None
    return (from_rfc3339(row.ended_at) - from_rfc3339(row.started_at)) / 1000


def cpu(row: HistoryRow) -> float | None:
    """Return the seconds of CPU time that an attempt used, None if they are not known."""
    return None if row.cpu_user is None else row.cpu_user + (row.cpu_system or 0.0)


def when(text: str | None) -> str:
    """Return an RFC 3339 time relative to now: `12 s ago`, `in 3 min`."""
    if text is None:
        return _NONE
    seconds = time.time() - from_rfc3339(text) / 1000
    if -1 < seconds < 1:
        return "now"
    return f"{age(seconds)} ago" if seconds > 0 else f"in {age(-seconds)}"


def stamp(text: str | None) -> str:
    """Return an RFC 3339 time for display: `2026-11-24 10:29:23.258 UTC`."""
    return _NONE if text is None else text.replace("T", " ").replace("Z", " UTC")


def size(count: float | None) -> str:
    """Return a number of bytes for display: `12.3 MiB`, or a dash for None."""
    return _NONE if count is None else format_size(count)


def pretty(raw: msgspec.Raw) -> str:
    """Return JSON indented, with numbers unchanged; truncated if it is very long."""
    text = msgspec.json.format(bytes(raw), indent=2).decode("utf-8", "replace")
    return text if len(text) <= LONGEST else text[:LONGEST] + "\n…"


def is_long(raw: msgspec.Raw) -> bool:
    """Return whether `pretty` truncates it."""
    return len(msgspec.json.format(bytes(raw), indent=2).decode("utf-8", "replace")) > LONGEST


def brief(raw: msgspec.Raw) -> str:
    """Return the beginning of a JSON text, on one line."""
    text = bytes(raw)[:400].decode("utf-8", "ignore")
    return text if len(text) <= 80 else text[:79] + "…"


def json(value: Any) -> str:
    """Return a value as JSON, for a script."""
    return printable_json(msgspec.json.encode(value).decode())


def decoded(raw: msgspec.Raw | None) -> Any:
    """Decode JSON; None for None."""
    return None if raw is None else msgspec.json.decode(raw)


def says_something(raw: msgspec.Raw | None) -> bool:
    """Return whether JSON is more than null or an empty object."""
    return raw is not None and bytes(raw).strip() not in (b"null", b"{}", b"")


def with_code(text: str) -> Markup:
    """Return a message as HTML, in which what is in backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    marked = [Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)]
    return Markup("").join(marked)


def short_id(job_id: str) -> str:
    """Return the end of an id, which differs between jobs of the same moment; the beginning is the time."""
    return job_id[-12:]


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        number,
        duration,
        age,
        took,
        cpu,
        when,
        stamp,
        size,
        pretty,
        brief,
        is_long,
        json,
        decoded,
        says_something,
        short_id,
        with_code,
    )
}
