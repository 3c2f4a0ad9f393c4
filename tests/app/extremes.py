"""Values that clients may give a field, at and beyond the ends of what it takes: made of the field's declaration.

A field that is declared later has its values by itself.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, get_args, get_origin

import msgspec
from hypothesis import strategies as some
from msgspec import Meta

from gopher.base.durations import LONGEST, PATTERN
from gopher.jobs.fields import JobId, RateText
from gopher.jobs.submission import CronExpression, Timezone
from tests.core.jobs.test_cron_oracle import Maker

_NOW = datetime.now(UTC)
_TEXTS = some.text(max_size=12) | some.sampled_from(["", "\x00", "\u202e", "null", "x" * 300, "\U0001f9ab", "a:b"])
_ZONES = ["UTC", "Europe/Berlin", "Pacific/Apia", "localtime", "Factory", "right/UTC", "Mars", "EST5EDT"]
_UNITS = ["ms", "s", "m", "h", "d", ""]
_NUMBERS = some.sampled_from(
    [
        0,
        1,
        -1,
        0.5,
        1e-320,
        5e-324,
        1e-9,
        0.0004999,
        LONGEST,
        LONGEST + 1,
        366 * 86400,
        366 * 86400.001,
        2**53 + 1,
        2**64,
    ]
) | some.floats(allow_nan=False, allow_infinity=False)


def as_text(moment: datetime, offset: int, form: str) -> str:
    local = moment.astimezone(timezone(timedelta(minutes=offset)))
    return form.format(local.isoformat()[:19], local.isoformat()[-6:])


def times() -> some.SearchStrategy[str]:
    soon = some.integers(-400, 400).map(lambda days: _NOW + timedelta(days=days, hours=1))
    ever = some.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
    edges = ["0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:01", "2026-12-31T23:59:60Z"]
    forms = ["{0}{1}", "{0}.0000000001{1}", "{0}.9999999{1}", "{0} {1}", "{0}", "{0},5{1}"]
    made = some.builds(as_text, soon | ever, some.integers(-1439, 1439), some.sampled_from(forms))
    return made | made.map(str.lower) | some.sampled_from([*edges, "9999-12-31T23:59:59.999Z", "now"])


def durations() -> some.SearchStrategy[Any]:
    parts = some.tuples(some.integers(0, 10**6) | _NUMBERS, some.sampled_from(_UNITS)).map(
        lambda pair: f"{pair[0]}{pair[1]}"
    )
    return parts | some.tuples(parts, parts).map("".join) | _NUMBERS | some.just("9" * 400 + "d")


def rates() -> some.SearchStrategy[str]:
    counts = some.integers(0, 10**7).map(str) | some.sampled_from(["0.000001", "9" * 99, "9" * 400, "1e3", "-1"])
    periods = some.sampled_from(["s", "m", "h", "d", "366d", "367d", "0s", "10s", "1s/s"])
    return some.builds("{}/{}".format, counts, periods)


def cron() -> some.SearchStrategy[str]:
    made = some.randoms(use_true_random=False).map(
        lambda chance: Maker(chance).expression(seconds=chance.random() < 0.3)
    )
    return made | some.sampled_from(["@hourly", "@yearly", "0 0 29 2 */7", "0 0 31 2 *", "*/90 * * * *", "R * * * *"])


def of_json() -> some.SearchStrategy[Any]:
    leaves = some.none() | some.booleans() | _NUMBERS | some.integers(-(10**30), 10**30) | _TEXTS
    values = some.recursive(leaves, lambda inner: some.lists(inner) | some.dictionaries(_TEXTS, inner), max_leaves=8)
    return some.dictionaries(_TEXTS, values, max_size=4) | values | some.sampled_from([63, 64, 65, 900]).map(nested)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def ids() -> some.SearchStrategy[Any]:
    return some.sampled_from(["01a20d1c-ddd6-7e46-9daa-2af634a7f173", "x", 0, -1, 2**70])


def values(kind: Any) -> some.SearchStrategy[Any]:
    """Return what makes values for a field's type, half of them such as it takes."""
    known = {CronExpression: cron, Timezone: lambda: some.sampled_from(_ZONES), RateText: rates, JobId: ids}
    if kind in known:
        return known[kind]()
    if get_origin(kind) is not Annotated:
        parts = [part for part in get_args(kind) if part is not type(None) and part is not msgspec.UnsetType]
        if get_origin(kind) is list:
            return some.lists(values(parts[0]), max_size=3)
        return some.one_of(*map(values, parts)) if parts else _of_class(kind)
    inner, *metas = get_args(kind)
    schema: dict[str, Any] = {}
    for meta in metas:
        if isinstance(meta, Meta):
            schema |= {"minimum": meta.ge, "maximum": meta.le, **(meta.extra_json_schema or {})}
    if "enum" in schema:
        return some.sampled_from(schema["enum"]) | _TEXTS
    if schema.get("format") == "date-time":
        return times()
    if PATTERN in schema.get("pattern", ""):
        return durations()
    if "pattern" in schema:
        return some.from_regex(schema["pattern"], fullmatch=True) | _TEXTS
    bounds = [
        bound + step
        for bound in (schema.get("minimum"), schema.get("maximum"))
        if bound is not None
        for step in (-1, 0, 1)
    ]
    return (some.sampled_from(bounds) if bounds else some.nothing()) | values(inner)


def _of_class(kind: Any) -> some.SearchStrategy[Any]:
    if kind is msgspec.Raw:
        return of_json()
    return {bool: some.booleans(), int: some.integers(-(10**19), 10**19) | _NUMBERS, float: _NUMBERS}.get(kind, _TEXTS)
