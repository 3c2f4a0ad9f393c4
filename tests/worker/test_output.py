"""What handlers print, from the child's descriptors into the log of the right job."""

import os

import msgspec
import pytest
from gopher.worker.children.capture import MAX_BYTES, MAX_LINE, MAX_LINES, CapturedOutput, mark
from hypothesis import given
from hypothesis import strategies as st

from gopher.base.printable import printable


class Wired:
    """Both sides of a pipe: `say` prints as a job does, `behind` writes as C code and programs do."""

    def __init__(self):
        self.captured = CapturedOutput()
        self._speaking = 0

    def begin(self, number):
        if number != self._speaking:
            mark(self.captured.writer, number)
            self._speaking = number

    def say(self, number, text, end="\n"):
        self.begin(number)
        self.behind((text + end).encode())

    def behind(self, data):
        os.write(self.captured.writer, data)

    def log(self, number, running=None):
        """Return the lines of a job, after reading what is there."""
        self.captured.read(number if running is None else running)
        encoded = self.captured.encode(number)
        return [line for _, line in msgspec.json.decode(encoded)] if encoded else []

    def close(self):
        self.captured.close_writer()
        self.captured.close()


@pytest.fixture
def wired():
    wired = Wired()
    yield wired
    wired.close()


def test_keeps_what_a_job_prints(wired):
    wired.say(1, "first")
    wired.say(1, "second\nthird")
    assert wired.log(1) == ["first", "second", "third"]


def test_a_job_that_prints_nothing_has_no_log(wired):
    assert wired.log(1) == []
    assert wired.captured.encode(1) == b""
    assert not wired.captured.changed(1)


def test_lines_of_jobs_that_follow_each_other_never_mix(wired):
    """All three have printed before the supervisor looks: it still thinks that the first one runs."""
    for number in (1, 2, 3):
        wired.say(number, f"job {number}")
        wired.say(number, f"job {number} again")
    assert [wired.log(number, running=1) for number in (1, 2, 3)] == [
        [f"job {number}", f"job {number} again"] for number in (1, 2, 3)
    ]


def test_output_that_bypasses_python_belongs_to_the_job_that_has_started(wired):
    for number in (1, 2, 3):
        wired.begin(number)
        wired.behind(b"from C in %d\n" % number)
    assert [wired.log(number, running=1) for number in (1, 2, 3)] == [[f"from C in {number}"] for number in (1, 2, 3)]


def test_a_job_that_begins_and_says_nothing_has_no_log(wired):
    wired.begin(1)
    wired.begin(2)
    assert wired.log(1) == []
    assert not wired.captured.changed(1)
    assert not wired.captured._jobs


def test_a_last_line_without_its_end_stays_with_its_job(wired):
    wired.say(1, "whole")
    wired.say(1, "half", end="")
    wired.captured.read(1)
    wired.captured.finish_line(1)
    first = wired.log(1)
    wired.captured.close_job(1)
    wired.say(2, "next")
    assert first == ["whole", "half"]
    assert wired.log(2) == ["next"]


def test_finishing_the_line_of_one_job_does_not_break_the_line_of_the_next(wired):
    wired.say(1, "one")
    wired.say(2, "half of ", end="")
    wired.captured.read(1)
    wired.captured.finish_line(1)
    wired.say(2, "a line")
    assert wired.log(1) == ["one"]
    assert wired.log(2) == ["half of a line"]


def test_output_after_a_jobs_end_is_dropped_and_takes_no_memory(wired):
    """A thread that a handler left behind goes on printing while no job runs."""
    wired.say(1, "in time")
    assert wired.log(1) == ["in time"]
    wired.captured.close_job(1)
    wired.say(1, "too late")
    assert wired.log(1, running=0) == []
    assert not wired.captured._jobs


def test_an_idle_childs_next_job_needs_no_mark(wired):
    wired.say(1, "one")
    assert wired.log(1) == ["one"]
    wired.captured.close_job(1)
    wired.captured.begin(2)
    wired.behind(b"two\n")
    assert wired.log(2) == ["two"]


def test_output_between_two_jobs_belongs_to_neither(wired):
    """By a thread of the first one, say: a line that was read at once, and one that is seen when the second begins."""
    wired.say(1, "one")
    wired.captured.read(1)
    wired.captured.close_job(1)
    wired.behind(b"too late\nhal")
    wired.captured.read(0)
    wired.behind(b"f a line\nanother hal")
    wired.captured.begin(2)
    wired.behind(b"two\n")
    assert wired.log(2) == ["two"]


@pytest.mark.parametrize("number", [2, 7])
def test_a_mark_that_a_job_has_printed_changes_nothing_of_those_that_need_none(wired, number):
    wired.say(1, f"\x00{number}\x00\nof the first")
    wired.captured.read(1)
    wired.captured.close_job(1)
    wired.captured.begin(2)
    wired.behind(b"two\n")
    assert wired.log(2) == ["two"]


@pytest.mark.parametrize("number", ["7", "9" * 5000, "99999"])
def test_a_job_that_prints_marks_itself_harms_no_one(wired, number):
    wired.say(1, f"\x00{number}\x00")
    wired.say(1, "goes on")
    assert "goes on" in " ".join(wired.log(1, running=1) + wired.log(7, running=1))
    wired.captured.close_job(1)
    wired.say(2, "two")
    assert wired.log(2, running=2) == ["two"]


def test_a_flood_leaves_its_last_lines_and_reports_how_many_are_missing(wired):
    for number in range(1000):
        wired.say(1, f"line {number}")
        if number % 50 == 0:
            wired.captured.read(1)
    log = wired.log(1)
    assert log[0] == f"[{1000 - MAX_LINES} earlier lines omitted]"
    assert log[1:] == [f"line {number}" for number in range(1000 - MAX_LINES, 1000)]


def test_a_flood_takes_nothing_from_the_job_before(wired):
    wired.say(1, "one")
    for number in range(2 * MAX_LINES):
        wired.say(2, f"line {number}")
    assert wired.log(1) == ["one"]
    assert wired.log(2)[0] == f"[{MAX_LINES} earlier lines omitted]"
    assert wired.log(2)[-1] == f"line {2 * MAX_LINES - 1}"


def test_a_flood_of_long_lines_stays_within_its_bytes(wired):
    for number in range(100):
        wired.say(1, f"{number} " + "x" * 3000)
        wired.captured.read(1)
    encoded = wired.captured.encode(1)
    assert len(encoded) < MAX_BYTES * 1.1
    assert msgspec.json.decode(encoded)[-1][1].startswith("99 ")


def test_a_line_without_end_is_cut_in_pieces(wired):
    for _ in range(20):
        wired.say(1, "x" * 1000, end="")
        wired.captured.read(1)
    log = wired.log(1)
    assert max(map(len, log)) <= MAX_LINE + len(" [line cut]")
    assert len(log) > 1


def test_a_long_line_is_cut_and_says_so(wired):
    wired.say(1, "x" * 20_000)
    (line,) = wired.log(1)
    assert line == "x" * MAX_LINE + " [line cut]"


def test_binary_and_bidi_and_colours_are_escaped(wired):
    wired.behind(b"\xff\xfe\x1b[31mred\x1b[0m\r\x07\n")
    wired.say(1, "\u202eevil \u2028 tab\there")
    log = wired.log(1)
    assert log == ["\ufffd\ufffd\\x1b[31mred\\x1b[0m\\r\\x07", "\\u202eevil \\u2028 tab\there"]


def test_says_whether_there_is_something_new(wired):
    wired.say(1, "one")
    assert not wired.captured.changed(1)
    wired.captured.read(1)
    assert wired.captured.changed(1)
    wired.captured.encode(1)
    assert not wired.captured.changed(1)


def test_the_tail_is_the_last_lines_as_text(wired):
    for number in range(30):
        wired.say(1, str(number))
    wired.captured.read(1)
    assert wired.captured.lines(1)[-3:] == ["27", "28", "29"]
    assert wired.captured.lines(2) == []


def test_a_descriptor_that_a_handler_has_closed_takes_no_mark_and_harms_no_one():
    reader, writer = os.pipe()
    os.close(writer)
    mark(writer, 1)
    os.close(reader)


def test_the_end_of_the_pipe_is_told():
    captured = CapturedOutput()
    captured.close_writer()
    assert captured.read(1) is False
    captured.close()


@given(st.lists(st.tuples(st.integers(1, 6), st.text(max_size=20)), max_size=30), st.integers(1, 6))
def test_whatever_jobs_print_stays_with_them(said, seen_every):
    """Jobs in order, each with any text, in any chunks: no line of one is ever in another's log."""
    wired = Wired()
    try:
        said = sorted(said, key=lambda each: each[0])
        for at, (number, text) in enumerate(said):
            wired.say(number, f"{number}:{text}")
            if at % seen_every == 0:
                wired.captured.read(1)
        for number in range(1, 7):
            expected = [line for each, text in said if each == number for line in f"{number}:{text}".split("\n")]
            assert wired.log(number, running=1) == [printable(line, keep="\t") for line in expected]
    finally:
        wired.close()
