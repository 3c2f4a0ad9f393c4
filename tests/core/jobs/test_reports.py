"""What a handler says of its work never fails the work; and how attempts are counted for people."""

import math
from types import SimpleNamespace

import pytest
from gopher.testing import Recorder
from msgspec import UNSET

from gopher.jobs.job import Job
from gopher.jobs.models import JobView


class Broken:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __float__ = __str__


@pytest.fixture
def reporter():
    return Recorder()


@pytest.fixture
def job(reporter):
    return Job(id="1", type="t", reporter=reporter)


LINES = {
    "an exception": ((ValueError("x"),), "x"),
    "a number": ((42,), "42"),
    "nothing": ((None,), "None"),
    "bytes": ((b"x",), "b'x'"),
    "a percent sign alone": (("100 %",), "100 %"),
    "an argument": (("%s files", 3), "3 files"),
    "a mapping": (("%(a)s", {"a": 1}), "1"),
    "an empty mapping": (("%s", {}), "{}"),
    "a mapping among others": (("%s %s", {"a": 1}, 2), "{'a': 1} 2"),
    "a number as the message": ((5, 1), "5 [its arguments 1 do not fit: TypeError]"),
    "the wrong type": (("%d", "x"), "%d [its arguments 'x' do not fit: TypeError]"),
    "one too many": (("ready", 1), "ready [its arguments 1 do not fit: TypeError]"),
    "one too few": (("%s %s", 1), "%s %s [its arguments 1 do not fit: TypeError]"),
    "a format that is none": (("%y", 1), "%y [its arguments 1 do not fit: ValueError]"),
    "a key that is not there": (("%(b)s", {"a": 1}), "%(b)s [its arguments {'a': 1} do not fit: KeyError]"),
    "a lone surrogate": (("bad \udcff",), "bad \udcff"),
    "what has no text": ((Broken(),), "[a Broken that can't be shown: ValueError]"),
    "an argument that has no text": (
        ("%s", Broken()),
        "%s [its arguments [a Broken that can't be shown: ValueError] do not fit: ValueError]",
    ),
}


@pytest.mark.parametrize("what", LINES)
def test_a_line_of_the_log_never_fails(job, reporter, what):
    arguments, line = LINES[what]
    job.log(*arguments)
    assert reporter.lines == [line]


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.5, 0.5), (-1, 0.0), (7, 1.0), (True, 1.0), ("0.25", 0.25), (math.inf, 1.0)]
)
def test_progress_is_a_number_from_0_to_1(job, reporter, fraction, shown):
    job.progress(fraction, ValueError("x"))
    assert reporter.reports == [(shown, "x")]


@pytest.mark.parametrize("fraction", [math.nan, "half", None, 1j, [], Broken(), 10**400])
def test_progress_that_is_not_a_number_is_ignored(job, reporter, fraction):
    job.progress(fraction, Broken())
    assert reporter.reports == []


def test_progress_with_a_message_that_has_no_text_is_shown(job, reporter):
    job.progress(0.5, Broken())
    assert reporter.reports == [(0.5, "[a Broken that can't be shown: ValueError]")]


@pytest.mark.parametrize(
    ("attempts", "max_retries", "crashes", "lost", "shown"),
    [
        (2, 3, UNSET, UNSET, "2 of 4"),
        (3, 0, 3, UNSET, "3 (3 crashes)"),
        (1, 0, 1, UNSET, "1 (1 crash)"),
        (5, 1, 1, 2, "5 (1 crash, 2 lost)"),
        (3, 0, UNSET, UNSET, "3"),
    ],
)
def test_uncounted_attempts_are_distinguished(attempts, max_retries, crashes, lost, shown):
    view = SimpleNamespace(attempts=attempts, max_retries=max_retries, crashes=crashes, lost=lost)
    assert JobView.describe_attempts(view) == shown
