import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gopher.base.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("30", 30.0),
        ("0.25", 0.25),
        ("1.5h", 5400.0),
        (" 5S ", 5.0),
        ("1m500ms", 60.5),
        (3, 3.0),
        (0, 0.0),
        (2.5, 2.5),
    ],
)
def test_reads_a_duration(text, seconds):
    assert parse_duration(text) == seconds


TEXTS = [
    "",
    " ",
    "s",
    "soon",
    "-1",
    "-1s",
    "1s-",
    "1 s",
    "1h 30m",
    "1y",
    "1e3",
    "inf",
    "nan",
    "0x10",
    "1..5s",
    "\u0663s",
]
VALUES = [-1, -0.5, math.inf, math.nan, True, None, [], b"1s"]


@pytest.mark.parametrize("text", [*TEXTS, *VALUES])
def test_refuses_an_invalid_duration_and_names_what_is_expected(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "d"])
def test_refuses_a_duration_without_end(text):
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.25, "250ms"), (1, "1s"), (59.5, "59.5s"), (60, "1m"), (5400, "1h30m"), (90061, "1d1h1m1s")],
)
def test_writes_a_duration_as_people_do(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(1, 10**9))
def test_reads_back_what_it_writes(seconds):
    assert math.isclose(parse_duration(format_duration(seconds)), seconds, rel_tol=0.01)


@given(st.floats(1, 1e9))
def test_what_it_writes_can_always_be_read(seconds):
    assert math.isclose(parse_duration(format_duration(seconds)), seconds, rel_tol=0.01)


@given(st.text(max_size=12))
def test_any_text_is_a_finite_duration_or_refused(text):
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert math.isfinite(seconds)
    assert seconds >= 0
