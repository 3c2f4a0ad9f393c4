"""What a job carries of the trace that it was submitted in."""

import msgspec
import pytest
from gopher.app import create_app

from gopher.config.settings import Settings
from gopher.jobs.job import Envelope, NewJob
from gopher.telemetry.trace_context import MAX_CARRIER, carrying, passed_on, passing_on, read, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_takes_a_trace_out_of_headers():
    assert read({"traceparent": f" {PARENT} ", "tracestate": "a=1", "X-Other": "b"}) == {
        "traceparent": PARENT,
        "tracestate": "a=1",
    }
    assert trace_id({"traceparent": PARENT}) == TRACE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        PARENT.upper(),
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{PARENT}\n",
        f'{PARENT}"}}',
        # Version 00 has nothing after its flags, and a later version a dash before what follows.
        f"{PARENT}-more",
        f"{PARENT}-",
        f"01-{TRACE}-00f067aa0ba902b7-01.more",
        f"01-{TRACE}-00f067aa0ba902b7-012",
        f"{PARENT},{PARENT}",
        f"0-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE}-00f067aa0ba902b7-1",
        f"00-{TRACE}-00f067aa0ba902b7-0x",
        f"00-{TRACE[:-1]}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00F067aa0ba902b7-01",
    ],
)
def test_takes_nothing_from_a_header_that_is_no_trace(text):
    assert read({"traceparent": text + "x" if text.endswith("\n") else text, "tracestate": "a=1"}) == {}
    assert trace_id({"traceparent": text.strip() + "x"}) == ""


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        # Of a later version the parts that are known are read, and passed on in the version that is known.
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", PARENT),
        (f"fe-{TRACE}-00f067aa0ba902b7-ff-", PARENT),
        (f"cc-{TRACE}-00f067aa0ba902b7-00", f"00-{TRACE}-00f067aa0ba902b7-00"),
        # Flags that nobody has defined are not passed on; the random one is.
        (f"00-{TRACE}-00f067aa0ba902b7-ff", f"00-{TRACE}-00f067aa0ba902b7-03"),
        (f"00-{TRACE}-00f067aa0ba902b7-08", f"00-{TRACE}-00f067aa0ba902b7-00"),
        (f"\t{PARENT} ", PARENT),
    ],
)
def test_a_trace_is_passed_on_in_version_00(text, carried):
    assert read({"traceparent": text}) == {"traceparent": carried}


@pytest.mark.parametrize(
    "state",
    [
        *("a=1", "a=1, b=2 ,\tc=3", "fw529a3039@dt=FfAAAAX,rojo=00f067aa0ba902b7", "0a=1", "a_-*/=x y", ",a=1,,"),
        *("a=" + "v" * 256, "k" * 256 + "=1", ",".join(f"k{number}=1" for number in range(32))),
    ],
)
def test_a_tracestate_is_passed_on_unchanged(state):
    assert read({"traceparent": PARENT, "tracestate": state})["tracestate"] == state


@pytest.mark.parametrize(
    "state",
    [
        *(
            "a",
            "=1",
            "A=1",
            "a=",
            "a=1=2",
            "a=\x7f",
            "a=\u00e9",
            "a = 1",
            "-a=1",
            "a@=1",
            "a@1=1",
            "a=1,a=2",
            "a=1;b=2,c",
        ),
        *("a=" + "v" * 257, "k" * 257 + "=1", "t@" + "s" * 15 + "=1", ",".join(f"k{number}=1" for number in range(33))),
    ],
)
def test_an_invalid_tracestate_is_dropped_and_the_trace_kept(state):
    assert read({"traceparent": PARENT, "tracestate": state}) == {"traceparent": PARENT}


def test_what_is_too_long_loses_all_but_the_trace():
    carrier = read({"traceparent": PARENT, "tracestate": "a=1", "baggage": "b" * MAX_CARRIER})
    assert carrier == {"traceparent": PARENT}


@pytest.mark.parametrize("envelope", [Envelope(), Envelope(payload=msgspec.Raw(b'{"a":"}"}'), timeout=3.0)])
def test_the_envelope_stays_as_it_is_but_for_the_trace(envelope):
    job = NewJob(id="1", type="email", envelope=msgspec.json.encode(envelope))
    (carried,) = carrying([job], {"traceparent": PARENT, "tracestate": 'a="1"'})
    decoded = msgspec.json.decode(carried.envelope, type=Envelope)
    assert decoded.trace == {"traceparent": PARENT, "tracestate": 'a="1"'}
    assert msgspec.structs.replace(decoded, trace={}) == envelope


def test_a_job_without_a_trace_is_stored_as_it_is():
    jobs = [NewJob(id="1", type="email", envelope=b"{}")]
    assert carrying(jobs, {}) is jobs


def test_a_trace_is_passed_on_for_so_long():
    with passing_on({"traceparent": PARENT}):
        assert passed_on() == {"traceparent": PARENT}
    assert passed_on() == {}


def test_a_request_leaves_nothing_behind_in_its_thread():
    answer = create_app(Settings()).test_client().get("/health/live", headers={"traceparent": PARENT})
    assert answer.status_code == 200
    assert passed_on() == {}
