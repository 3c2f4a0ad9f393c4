"""Many submissions from Python at once: each is checked as if it came alone, and becomes the same job."""

from collections import defaultdict
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType

import msgspec
import pytest

from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.jobs.bulk import prepare_many
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import Job
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.strict_json import MAX_DEPTH
from gopher.jobs.submission import MAX_PAYLOAD
from tests.core.jobs.test_submission import nested

BARE = {"type": "email", "payload": {"to": "a@example.com", "parts": [1, 2.5, None, "\u00e9\n{"]}}


class Point(msgspec.Struct):
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise RuntimeError("was given what another job has")


class Name(str):
    __slots__ = ()


class Kind(str, Enum):  # noqa: UP042 - what was written before there was StrEnum
    EMAIL = "email"


GOOD = [
    BARE,
    {"type": "sms", "payload": {}},
    {"type": "email", "payload": Point(1)},
    {"type": "email", "payload": {"at": datetime(2026, 1, 1, tzinfo=UTC)}},
    {"type": "email", "payload": msgspec.Raw(b'{ "a":\n 1}')},
    {"type": "email", "payload": nested(MAX_DEPTH - 1)},
    {"type": "email", "payload": {"brackets": "[" * 100}},
    {"type": "email", "payload": {"text": "x" * (MAX_PAYLOAD - 11)}},
    {"type": "email", "payload": {}, "priority": "high"},
    {"type": Name("email"), "payload": {}},
    {"type": Kind.EMAIL, "payload": {}},
    MappingProxyType(BARE),
]


@pytest.mark.parametrize("fields", GOOD)
@pytest.mark.parametrize("others", [0, 1, 300])
def test_it_becomes_the_same_job_as_alone(fields, others):
    jobs = prepare_many([*[BARE] * others, fields, *[BARE] * others])
    assert len({job.id for job in jobs}) == len(jobs) == 2 * others + 1
    assert jobs[others] == prepare_fields(fields, job_id=jobs[others].id)
    assert type(jobs[others].type) is str
    assert all(job == prepare_fields(BARE, job_id=job.id) for at, job in enumerate(jobs) if at != others)


def test_a_type_may_be_any_text(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        ids = client.enqueue_many({"type": kind, "payload": {}} for kind in (Name("email"), Kind.EMAIL))
        assert [client.job(job_id).type for job_id in ids] == ["email", "email"]


def test_none_are_none():
    assert prepare_many([]) == []


BAD = [
    {"type": "no such name!", "payload": {}},
    {"type": 5, "payload": {}},
    {"type": ["email"], "payload": {}},
    {"type": "email"},
    defaultdict(lambda: "email", {"payload": {}}),
    {"type": "email", "paylaod": {}},
    {"type": "email", "payload": [], "delay": 5},
    {"type": "email", "payload": []},
    {"type": "email", "payload": None},
    {"type": "email", "payload": object()},
    {"type": "email", "payload": {1: "one", "1": "one again"}},
    {"type": "email", "payload": msgspec.Raw(b'{"a":1,"a":2}')},
    {"type": "email", "payload": msgspec.Raw(b"{}\n{}")},
    {"type": "email", "payload": msgspec.Raw(b'{"a":"\\ud800"}')},
    {"type": "email", "payload": msgspec.Raw(b'{"a":NaN}')},
    {"type": "email", "payload": msgspec.Raw(b"")},
    {"type": "email", "payload": {"text": "\ud800"}},
    {"type": "email", "payload": nested(MAX_DEPTH)},
    {"type": "email", "payload": {"text": "x" * (MAX_PAYLOAD - 10)}},
]


@pytest.mark.parametrize("fields", BAD)
@pytest.mark.parametrize("others", [0, 1, 300])
def test_a_bad_one_is_refused_in_the_same_words_as_alone(fields, others):
    with pytest.raises(InvalidJob) as alone:
        prepare_fields(fields)
    with pytest.raises(InvalidJob) as together:
        prepare_many([*[BARE] * others, fields, *[BARE] * others])
    assert (str(together.value), together.value.field) == (str(alone.value), alone.value.field)


def test_payloads_are_held_against_their_handlers():
    registry = Registry()

    @handler("point", into=registry)
    def take(job: Job, payload: Point) -> None: ...

    point = {"type": "point", "payload": {"x": 1}}
    assert len(prepare_many([point, point], registry)) == 2
    with pytest.raises(InvalidJob, match="x"):
        prepare_many([point, {"type": "point", "payload": {"x": "far"}}], registry)
    with pytest.raises(InvalidJob, match="no handler"):
        prepare_many([point, {"type": "circle", "payload": {"x": 1}}], registry)


def test_no_handler_is_shown_a_payload_of_another_job():
    registry = Registry()

    @handler("point", into=registry)
    def take(job: Job, payload: Point) -> None: ...

    @handler("any", into=registry)
    def take_any(job: Job, payload: dict) -> None: ...

    two_lines = {"type": "any", "payload": msgspec.Raw(b'{}\n{"x":-1}')}
    with pytest.raises(InvalidJob):
        prepare_many([two_lines, {"type": "point", "payload": {"x": 1}}], registry)
