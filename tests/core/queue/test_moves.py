"""Calls as values: what is sent, in which units, and how replies are read."""

import msgspec
import pytest

from gopher.jobs.job import NewJob
from gopher.queue.arguments import Completion, Failure, Request, as_usage
from gopher.queue.keys import Keys
from gopher.queue.moves import MAX_LOST, Queue
from gopher.queue.replies import FetchedJob

DAY = "86400000"
unpack = msgspec.msgpack.decode

QUEUE = Queue(Keys("ns").for_queue("mail"), retention=60.0)
FAILURE = Failure("id", "w1.1", 12.3456, b"{}", b"{}", b"[]", "SIGSEGV", "1.500 0.250 0")


def test_a_new_job_is_sent_with_all_of_its_options_in_milliseconds():
    job = NewJob(
        "id",
        "email",
        b"{}",
        priority="high",
        due="+5",
        expires="9",
        give_up="+7",
        retention=1.5,
        unique_key="u",
        unique_for=2.0,
        limit_key="t",
        after=("a", "b"),
        on_parent_failure="run",
        tells=("batch home b1",),
    )
    *request, packed, options, envelope = QUEUE.enqueue([job], Request("k", "d", "1")).arguments
    assert (request, envelope) == (["k", "d", "1", DAY], b"{}")
    assert unpack(packed) == ["id", "email", "high", ""]
    assert unpack(options) == [1, "+5\n9\n+7\n1500\nemail u\n2000\nt\na,b\nrun\nbatch home b1\n\n"]


def test_a_plain_job_is_sent_with_nothing_beside_what_every_job_has():
    job = NewJob("id", "email", b"{}")
    assert QUEUE.enqueue([job]).arguments == ("id", "email", "normal", b"{}")
    values = ["id", "email", "normal", ""]
    *request, packed, options, first, second = QUEUE.enqueue([job, job]).arguments
    assert (request, unpack(packed), options) == (["", "", "", DAY], values * 2, "")
    assert (first, second) == (b"{}", b"{}")
    *request, packed, options, envelope = QUEUE.enqueue([job], Request("key", "digest", "1")).arguments
    assert (request, unpack(packed), options, envelope) == (["key", "digest", "1", DAY], values, "", b"{}")


def test_options_are_sent_only_of_jobs_that_have_some():
    plain, special = NewJob("a", "email", b"{}", tenant="acme"), NewJob("b", "email", b"{}", tenant="acme", due="1")
    *_, packed, options, _, _, _ = QUEUE.enqueue([plain, special, plain]).arguments
    assert unpack(packed)[3::4] == ["acme"] * 3
    assert unpack(options)[::2] == [2]


def test_no_jobs_are_not_taken_for_one():
    assert len(QUEUE.enqueue([]).arguments) == 6


@pytest.mark.parametrize(
    "option",
    [
        {"due": "1"},
        {"expires": "1"},
        {"give_up": "1"},
        {"retention": 0.0},
        {"unique_key": "u"},
        {"limit_key": "t"},
        {"after": ("a",)},
        {"tells": ("batch home b1",)},
    ],
)
def test_a_job_with_any_option_is_not_plain(option):
    assert not NewJob("id", "email", b"{}", **option).is_plain


def test_what_was_not_said_of_a_special_job_is_sent_empty():
    *_, options, _ = QUEUE.enqueue([NewJob("id", "email", b"{}", retention=0.0)]).arguments
    assert unpack(options)[1] == "\n\n\n0\n\n31622400000\n\n\nfail\n\n\n"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (QUEUE.fetch("w1", 3, 7, "hnl", strict=True), ("w1", 3, 7, "hnl", "1", 60_000, "", "", "")),
        (QUEUE.fetch("w1", 3, 7, "hnl", strict=False), ("w1", 3, 7, "hnl", "0", 60_000, "", "", "")),
        (
            QUEUE.fetch("w1", 3, 7, "hnl", strict=True, with_prelude=True, behind_pop=True, lost_pops=[4, 6]),
            ("w1", 3, 7, "hnl", "1", 60_000, "1", "1", "4,6"),
        ),
        (
            QUEUE.complete("w1", [Completion("id", "w1.1", 12.3456, b"1", b"[]")]),
            ("w1", 60_000, msgspec.msgpack.encode([("id", "w1.1", "12.346", "1", "[]")])),
        ),
        (
            QUEUE.complete("w1", [Completion("id", "w1.1", 12.3456, b"", b"", as_usage(0.0015, 0.00025, 0))]),
            ("w1", 60_000, msgspec.msgpack.encode([("id", "w1.1", "12.346", False, False, "1.500 0.250 0")])),
        ),
        (
            QUEUE.retry("w1", FAILURE, 2.5),
            ("w1", "id", "w1.1", 2500, "SIGSEGV", "12.346", b"{}", b"{}", b"[]", 60_000, "1.500 0.250 0"),
        ),
        (
            QUEUE.dead_letter("w1", FAILURE, "E"),
            ("w1", "id", "w1.1", "E", "SIGSEGV", "12.346", b"{}", b"{}", b"[]", "", "1.500 0.250 0"),
        ),
        (QUEUE.requeue("w1", "id", "w1.1"), ("w1", "id", "w1.1", 0, 60_000)),
        (QUEUE.hold("id", "w1.1", "1024 1 2"), ("id", "w1.1", "1024 1 2")),
        (QUEUE.throttle("w1", "id", "w1.1", 1.5, "key"), ("w1", "id", "w1.1", 1500, 60_000, "key")),
        (QUEUE.cancelled("w1", "id", "w1.1", b"{}", b""), ("w1", "id", "w1.1", b"{}", b"", 60_000)),
        (QUEUE.heartbeat("w1", 30.0), ("w1", 30_000, "0")),
        (QUEUE.heartbeat("w1", 30.0, first=True), ("w1", 30_000, "1")),
        (QUEUE.rescue(None, 1.0), (100, MAX_LOST, 60_000, "", "", "")),
        (QUEUE.rescue(5, 1.5, limit=7), (7, MAX_LOST, 60_000, 5, 1500, 1500)),
        (QUEUE.set_limit("email", None, None, 3), ("email", "", "", "3", "api", "")),
        (QUEUE.set_limit("email", 0.1, 2.0, None, origin="handler"), ("email", "0.1", "2.0", "", "handler", "")),
        (QUEUE.set_schedule("n", b"{}", None), ("n", b"{}", "", "*", "0")),
        (QUEUE.prune(3, 60.0, 5, 7), (7, 3, 60_000, 5)),
    ],
)
def test_arguments_are_those_that_the_script_takes(call, arguments):
    assert call.command()[4:] == tuple(each if isinstance(each, str | bytes) else str(each) for each in arguments)


def test_a_tick_sends_its_jobs_with_how_long_they_may_wait():
    job = NewJob("id", "report", b"{}", priority="low", retention=2.0, expires="+3000")
    call = QUEUE.tick("n", b"{}", 5, None, [job], skip_overlap=True)
    assert call.arguments == ("n", b"{}", "5", "", "1", "id", "report", "low", "2000", "3000", b"{}", "", "", "")
    assert QUEUE.tick("n", b"{}", 5, 9, []).arguments == ("n", b"{}", "5", "9", "0")


def test_what_a_fetch_brought_is_read():
    read, pack = QUEUE.fetch("w1", 1, 1, "hnl", strict=True).read, msgspec.msgpack.encode
    plain = ("first", "w1.1", "email", "high")
    rare = ("second", "w1.2", "email", "low", 2, ["SIGSEGV", "exit 1"], 3, "", ["parent", "other"])
    traced = ("third", "w1.3", "email", "low", 1, [], 0, ("w0.7", 12), [])
    fetched = read([b"OK", 1_800, 1, 8, pack([plain, rare, traced]), pack([7, 2, 1, 0, 3]), b'{"a":1}{}1{ }'])
    assert (fetched.lost, fetched.now, fetched.more, fetched.next_number) == (False, 1800, True, 8)
    first, second, third = fetched.jobs
    assert first == FetchedJob("first", "w1.1", "email", "high", 1, (), 0, envelope=b'{"a":1}')
    assert (second.attempt, second.crashes, second.lost) == (2, ("SIGSEGV", "exit 1"), 3)
    assert (second.envelope, second.parents) == (b"{}", {"parent": b"1", "other": b""})
    assert (third.envelope, third.prelude) == (b"{ }", ("w0.7", 12))
    assert read([b"LOST"]).lost


def test_outcomes_of_new_jobs_are_read():
    read = QUEUE.enqueue([NewJob("id", "email", b"{}")] * 3).read
    assert read([b"OK"]) == ("OK", "", ["NEW"] * 3)
    assert read([b"OK", 2, b"DUPLICATE", 3, b"id"]) == ("OK", "", ["NEW", "DUPLICATE", "id"])
    assert read([b"REPLAYED", b"17"]) == ("REPLAYED", "17", ["NEW"] * 3)
    assert read([b"REPLAYED", b"17", 2, b"id failed low"]) == ("REPLAYED", "17", ["NEW", "id failed low", "NEW"])
    assert read([b"MISMATCH"]) == ("MISMATCH", "", [])
    assert read([b"NOPARENT", b"id"]) == ("NOPARENT", "id", [])
    read = QUEUE.enqueue([NewJob("id", "email", b"{}")]).read
    assert read([b"OK"]) == ("OK", "", ["NEW"])
    assert read([b"OK", 1, b"DUPLICATE"]) == ("OK", "", ["DUPLICATE"])
