"""The rules of a submission: each breach names its field and the remedy."""

import json
from typing import Any

import msgspec
import pytest

from gopher.client import Client
from gopher.errors import InvalidJob, InvalidJson, PayloadTooLarge, UnknownType
from gopher.jobs.bulk import prepare_many
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import BARE_ENVELOPE, Envelope, created_ms
from gopher.jobs.prepare import prepare, prepare_batch, prepare_fields
from gopher.jobs.strict_json import check_json
from gopher.jobs.submission import MAX_BATCH, MAX_PAYLOAD, InvalidBatch, parse, parse_batch, submission_of

NOW = 1_800_000_000.0
ID = "01a20d05-ddeb-7751-9e18-76dc918d8252"


def body(**fields):
    return json.dumps({"type": "email", "payload": {}, **fields}).encode()


def prepared(registry=None, **fields):
    return prepare(parse(body(**fields)), registry, now=NOW)


def envelope(job):
    return msgspec.json.decode(job.envelope, type=Envelope)


def broken(**fields):
    with pytest.raises(InvalidJob) as caught:
        prepared(**fields)
    return caught.value


def test_the_least_that_can_be_said_is_a_type_and_a_payload():
    job = prepared()
    assert (job.type, job.queue, job.priority, job.due, job.expires, job.retention) == (
        *("email", "default", "normal", "", ""),
        None,
    )
    assert json.loads(job.envelope) == {"payload": {}}
    assert (job.unique_key, job.limit_key, job.after, job.on_parent_failure) == ("", "", (), "fail")


@pytest.mark.parametrize("payload", [b"{}", b'{"a":[1,"\xc3\xa9"]}', b'{ "a" : "%s" }'])
def test_a_bare_envelope_is_one_that_has_a_payload_alone(payload):
    assert BARE_ENVELOPE % payload == msgspec.json.encode(Envelope(msgspec.Raw(payload)))


#: An option that says what is so anyway: whoever gives any option is checked by all the rules.
NOTHING_NEW = {"delay": 0}


@pytest.mark.parametrize(
    "payload", [{}, {"to": "a@example.com", "parts": [1, 2.5, None, "\u00e9"]}, msgspec.Raw(b"{}")]
)
def test_a_job_without_options_is_the_same_as_one_that_went_by_all_rules(payload):
    fields = {"type": "email", "payload": payload}
    quick = prepare_fields(fields, job_id=ID)
    assert quick == prepare_fields({**fields, **NOTHING_NEW}, job_id=ID)
    assert quick == prepare(submission_of(fields), job_id=ID)


def nested(levels):
    value = {}
    for _ in range(levels):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "no such name!"},
        {"type": ""},
        {"type": 5},
        {"type": None},
        {"type": "unknown"},
        {"payload": []},
        {"payload": None},
        {"payload": object()},
        {"payload": {1: "one", "1": "one again"}},
        {"payload": {"in": msgspec.Raw(b'{"a":1,"a":2}')}},
        {"payload": {"n": 10**400}},
        {"payload": {"text": "\ud800"}},
        {"payload": nested(70)},
        {"payload": {"width": "wide"}},
        {"payload": {"text": "x" * MAX_PAYLOAD}},
        {"payload": msgspec.Raw(b"{")},
        {"payload": msgspec.Raw(b'{"n": NaN}')},
    ],
)
def test_a_job_without_options_breaks_the_same_rules_in_the_same_words(registry, fields):
    fields = {"type": "image_resize", "payload": {"width": 1}, **fields}
    errors = []
    for options in ({}, NOTHING_NEW):
        with pytest.raises(InvalidJob) as caught:
            prepare_fields({**fields, **options}, registry)
        errors.append((type(caught.value), str(caught.value), caught.value.field))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("fields", [{}, {"type": "email"}, {"payload": {}}, {"type": "email", "paylaod": {}}])
def test_a_field_that_is_missing_or_unknown_is_named_also_without_options(fields):
    with pytest.raises(InvalidJob, match="type|payload|paylaod"):
        prepare_fields(fields)


def test_two_submissions_have_two_ids_made_now():
    first, second = prepared(), prepared()
    assert first.id != second.id
    assert abs(created_ms(first.id) - created_ms(second.id)) < 10_000


def test_a_payload_is_kept_to_the_digit():
    text = b'{"type":"email","payload":{"n":9007199254740993,"e":[],"f":1.0,"s":"\\u00e9"}}'
    job = prepare(parse(text), now=NOW)
    assert bytes(envelope(job).payload) == b'{"n":9007199254740993,"e":[],"f":1.0,"s":"\\u00e9"}'


def test_everything_that_can_be_said_is_kept():
    job = prepared(
        priority="high",
        queue="mail",
        max_retries=7,
        timeout="90s",
        delay="1m",
        expires_in="1h",
        retention="2h",
        retry_for="1d",
        unique_key="user:1",
        unique_for="10m",
        limit_key="tenant",
        after=[ID, ID],
        on_parent_failure="run",
        metadata={"trace": "x"},
    )
    assert (job.priority, job.queue) == ("high", "mail")
    assert (job.due, job.expires, job.retention) == ("+60000", "+3600000", 7200)
    assert (job.unique_key, job.unique_for, job.limit_key) == ("user:1", 600.0, "tenant")
    assert (job.after, job.on_parent_failure) == ((ID,), "run")
    kept = envelope(job)
    assert (kept.max_retries, kept.timeout, kept.retry_for) == (7, 90.0, 86400.0)
    assert bytes(kept.metadata) == b'{"trace": "x"}'
    assert kept.execute_at == NOW * 1000 + 60_000


def test_times_are_converted_exactly():
    job = prepared(execute_at="2027-02-01T10:00:00+02:00", expires_at="2027-02-02T00:00:00Z")
    assert job.due == "1801468800000"
    assert job.expires == "1801526400000"
    assert envelope(job).execute_at == 1_801_468_800_000


def test_a_time_that_is_over_is_now():
    assert prepared(execute_at="2020-01-01T00:00:00Z").due == "1577836800000"


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"type": "No Spaces"}, "/type", "must match"),
        ({"type": ""}, "/type", "must match"),
        ({"type": "a" * 65}, "/type", "must match"),
        ({"queue": "{mail}"}, "/queue", "must match"),
        ({"queue": "Mail"}, "/queue", "must match"),
        ({"priority": "urgent"}, "/priority", "high, normal, low"),
        ({"max_retries": -1}, "/max_retries", "from 0 to 100"),
        ({"max_retries": 101}, "/max_retries", "from 0 to 100"),
        ({"timeout": 0}, "/timeout", "greater than 0"),
        ({"timeout": "25h"}, "/timeout", "maximum is 1 days"),
        ({"timeout": "soon"}, "/timeout", "soon"),
        ({"delay": "-5s"}, "/delay", "-5s"),
        ({"delay": "367d"}, "/delay", "366 days"),
        ({"delay": "5s", "execute_at": "2027-02-01T10:00:00Z"}, "/execute_at", "together with delay"),
        ({"execute_at": "2027-02-01 10:00"}, "/execute_at", "RFC 3339"),
        ({"execute_at": "2027-02-01T10:00:00"}, "/execute_at", "offset"),
        ({"execute_at": "2029-02-01T10:00:00Z"}, "/execute_at", "366 days ahead"),
        ({"expires_in": 0}, "/expires_in", "would never run"),
        ({"expires_in": "1h", "expires_at": "2027-02-01T10:00:00Z"}, "/expires_at", "together with expires_in"),
        ({"retention": "400d"}, "/retention", "366 days"),
        ({"retry_for": "x"}, "/retry_for", "x"),
        ({"unique_key": "has space"}, "/unique_key", "printable"),
        ({"unique_key": "a,b"}, "/unique_key", "commas"),
        ({"unique_key": ""}, "/unique_key", "1 to 200"),
        ({"unique_key": "k" * 201}, "/unique_key", "1 to 200"),
        ({"unique_for": "1h"}, "/unique_for", "requires unique_key"),
        ({"unique_key": "k", "unique_for": 0}, "/unique_for", "greater than 0"),
        ({"limit_key": "ä"}, "/limit_key", "printable"),
        ({"after": ["nonsense"]}, "/after/0", "expected a job id"),
        ({"after": [ID, 0]}, "/after/1", "index in a batch"),
        ({"after": [ID] * 1001}, "/after", "the maximum is 1000"),
        ({"after": {"batch": ID}, "batch": ID}, "/after", "the batch to which the job is added"),
        ({"after": [ID.upper()], "batch": ID}, "/after", "the batch to which the job is added"),
        ({"on_parent_failure": "ignore"}, "/on_parent_failure", "fail or run"),
        ({"payload": [1]}, "/payload", "JSON object"),
        ({"payload": "text"}, "/payload", "JSON object"),
        ({"metadata": [1]}, "/metadata", "JSON object"),
        ({"metadata": {"x": "y" * 5000}}, "/metadata", "the maximum is 4096"),
        ({"recurring": {"cron_expression": "* * * * *"}}, "/recurring", "/api/v1/jobs"),
    ],
)
def test_a_broken_rule_names_the_field_and_the_remedy(fields, field, says):
    error = broken(**fields)
    assert error.field == field
    assert says in str(error)


@pytest.mark.parametrize(
    "fields",
    [{"type": None}, {"priorty": "high"}, {"max_retries": "3"}, {"payload": None, "type": 5}, {"after": "x"}],
)
def test_a_wrong_shape_is_an_invalid_job_that_names_its_field(fields):
    with pytest.raises(InvalidJob) as caught:
        parse(body(**fields))
    assert caught.value.code == "invalid_job"


def test_a_missing_field_is_named():
    with pytest.raises(InvalidJob, match="payload"):
        parse(b'{"type":"email"}')


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b'{"type":"email","payload":{"x":NaN}}', b"\xff"])
def test_invalid_json_has_an_error_of_its_own(text):
    with pytest.raises(InvalidJob) as caught:
        prepare(parse(text))
    assert caught.value.code == "invalid_json"


def test_a_payload_that_is_too_large_has_its_own_error():
    assert prepared(payload={"x": "y" * (MAX_PAYLOAD - 20)})
    with pytest.raises(PayloadTooLarge) as caught:
        prepared(payload={"x": "y" * MAX_PAYLOAD})
    assert (caught.value.code, caught.value.field) == ("payload_too_large", "/payload")


# JSON that other readers would read differently


@pytest.mark.parametrize(
    "text",
    [b'{"a":NaN}', b'{"a":1e999}', b'"\\ud800"', b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"{} {}"],
)
def test_json_is_refused_that_others_read_differently(text):
    with pytest.raises(InvalidJson) as caught:
        check_json(text, "/payload")
    assert caught.value.field == "/payload"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 64 + b"]" * 64,
        b'"' + b"[" * 200 + b'"',
        b'{"a":"\\"[[[["}',
        b'["\\ud83d\\ude00"]',
        b"[" + b"[],[]," * 50 + b"1]",
    ],
)
def test_json_that_all_read_alike_is_taken(text):
    assert check_json(text, "/payload") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"a":1,"a":1}', "/payload/a"),
        (b'{"a":1,"\\u0061":2}', "/payload/a"),
        (b'{"":1,"":2}', "/payload/"),
        (b'{"a":[{"b":1},{"c":{"d":1,"e":2,"d":3}}],"z":1}', "/payload/a/1/c/d"),
        (b'{"n":' + b"1" * 300 + b',"x":{"y":1,"y":2}}', "/payload/x/y"),
        (b' {"k":":","k":","} ', "/payload/k"),
    ],
)
def test_a_name_that_occurs_twice_in_an_object_is_refused_with_its_place(text, place):
    with pytest.raises(InvalidJson, match="duplicate key") as caught:
        check_json(text, "/payload")
    assert caught.value.field == place


@pytest.mark.parametrize(
    "text", [b'{"a":{"a":1},"b":{"a":1}}', b'[{"a":1},{"a":2}]', b'{"x":"{\\"a\\":1,\\"a\\":2}"}', b"[]"]
)
def test_a_name_may_occur_in_several_objects(text):
    assert check_json(text, "/payload") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"type":"email","payload":{},"type":"math"}', "/type"),
        (b'{"type":"email","payload":{},"payload":{}}', "/payload"),
        (b'{"type":"email","payload":{"to":"a","to":"b"}}', "/payload/to"),
        (
            b'{"type":"email","payload":{},"recurring":{"cron_expression":"@daily","cron_expression":"@hourly"}}',
            "/recurring/cron_expression",
        ),
    ],
)
def test_a_submission_says_nothing_twice(text, place):
    with pytest.raises(InvalidJson, match="duplicate key") as caught:
        parse(text)
    assert (caught.value.code, caught.value.field) == ("invalid_json", place)


def test_a_batch_says_nothing_twice():
    for text in (b'{"jobs":[{}],"jobs":[{}]}', b'{"jobs":[{}],"\\u006aobs":[{}]}'):
        with pytest.raises(InvalidJson, match="duplicate key") as caught:
            parse_batch(text)
        assert caught.value.field == "/jobs"
    assert len(parse_batch(b'{"jobs":[{"type":"jobs"}]}')) == 1
    with pytest.raises(InvalidBatch) as bad:
        prepare_batch([body(), b'{"type":"email","payload":{"a":1,"a":2}}'])
    assert bad.value.field == "/jobs/1/payload/a"


def test_what_a_program_hands_over_as_json_says_nothing_twice(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client, pytest.raises(InvalidJson, match="duplicate key"):
        client.enqueue("email", msgspec.Raw(b'{"to":"a","to":"b"}'))


@pytest.mark.parametrize(
    "number", ["9007199254740993", "123456789012345678901234567890", "0.1000000000000000055511151231"]
)
def test_a_number_is_kept_to_the_digit(number):
    text = f'{{"type":"email","payload":{{"n":{number}}}}}'.encode()
    assert number.encode() in prepare(parse(text), now=NOW).envelope


def test_a_number_of_thousands_of_digits_is_refused():
    with pytest.raises(InvalidJson, match="out of range"):
        prepare(parse(b'{"type":"email","payload":{"n":' + b"7" * 5000 + b"}}"), now=NOW)


# What handlers want


@pytest.fixture
def registry():
    registry = Registry()

    class Resize(msgspec.Struct):
        width: int

    @handler("image_resize", into=registry)
    def resize(job, payload: Resize):
        """Resize a picture."""

    # The annotation of a local class can't be looked up by name.
    assert registry.require("image_resize").payload_type is Resize
    return registry


def test_a_type_without_a_handler_is_refused_when_handlers_are_known(registry):
    with pytest.raises(UnknownType, match="registered types: image_resize"):
        prepared(registry)


def test_a_payload_that_its_handler_can_not_take_is_refused(registry):
    job = prepared(registry, type="image_resize", payload={"width": 5})
    assert job.type == "image_resize"
    with pytest.raises(InvalidJob) as caught:
        prepared(registry, type="image_resize", payload={"width": "wide"})
    assert caught.value.field == "/payload/width"


# Batches


def test_a_batch_has_from_one_to_ten_thousand_jobs():
    assert len(parse_batch(b'{"jobs":[{}]}')) == 1
    assert len(parse_batch(b'{"jobs":[' + b",".join([b"{}"] * MAX_BATCH) + b"]}")) == MAX_BATCH
    for jobs in (b"", b",".join([b"{}"] * (MAX_BATCH + 1))):
        with pytest.raises(InvalidJob) as caught:
            parse_batch(b'{"jobs":[' + jobs + b"]}")
        assert caught.value.field == "/jobs"


def test_every_bad_entry_of_a_batch_is_named():
    with pytest.raises(InvalidBatch) as caught:
        prepare_batch([body(), body(priority="urgent"), b"nonsense", body(type="no good")])
    assert [index for index, _ in caught.value.errors] == [1, 2, 3]
    assert caught.value.field == "/jobs/1/priority"
    assert "3 jobs are invalid, so none was accepted; the first at index 1: " in str(caught.value)


def test_entries_may_wait_for_earlier_ones_by_their_places():
    first, second, third = prepare_batch([body(), body(after=[0]), body(after=[1, 0, ID])])
    assert second.after == (first.id,)
    assert third.after == (second.id, first.id, ID)


@pytest.mark.parametrize("place", [1, 2, -1])
def test_entries_never_wait_for_themselves_or_later_ones(place):
    with pytest.raises(InvalidBatch, match="an earlier job of the batch"):
        prepare_batch([body(), body(after=[place])])


@pytest.mark.parametrize("field", ["queue", "priority"])
def test_an_empty_name_is_not_one_that_was_not_given(field: str) -> None:
    with pytest.raises(InvalidJob) as refused:
        prepare_fields({"type": "email", "payload": {}, field: ""})
    assert refused.value.field == f"/{field}"


class Measured(msgspec.Struct):
    value: float


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("wrapped", "place"),
    [(lambda value: {"a": [None, {"b": value}]}, "/a/1/b"), (lambda value: {"a": (0, Measured(value))}, "/a/1/value")],
)
def test_a_number_that_json_does_not_have_is_not_submitted_as_null(number: float, wrapped: Any, place: str) -> None:
    with pytest.raises(InvalidJson) as refused:
        prepare_fields({"type": "email", "payload": wrapped(number)})
    assert refused.value.field == f"/payload{place}"
    with pytest.raises(InvalidJson):
        prepare_fields({"type": "email", "payload": {}, "metadata": wrapped(number)})
    with pytest.raises(InvalidJson):
        prepare_many([{"type": "email", "payload": {}}, {"type": "email", "payload": wrapped(number)}])


def test_none_is_null_in_a_payload() -> None:
    assert prepare_fields({"type": "email", "payload": {"a": None}}).envelope == b'{"payload":{"a":null}}'
    assert prepare_many([{"type": "email", "payload": {"a": None, "b": 1.5}}])[0].envelope.endswith(b'"b":1.5}}')


@pytest.mark.parametrize("depth", [400, 900])
def test_a_payload_from_python_that_is_too_deep_is_refused(depth: int) -> None:
    value: Any = None
    for _ in range(depth):
        value = {"a": value}
    with pytest.raises(InvalidJob):
        prepare_fields({"type": "email", "payload": value})
    with pytest.raises(InvalidJob):
        prepare_many([{"type": "email", "payload": value}])
