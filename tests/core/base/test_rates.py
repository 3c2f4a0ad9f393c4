"""One grammar of rates, wherever one is given."""

import pytest

from gopher.base.rates import EXPECTED, Rate, format_rate, parse_rate
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from gopher.jobs.limit import make_limit


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10.0, 1.0)),
        ("600/m", Rate(600.0, 60.0)),
        ("5/h", Rate(5.0, 3600.0)),
        ("1/10s", Rate(1.0, 10.0)),
        ("0.5/S", Rate(0.5, 1.0)),
        (" 3 / 2 m ", Rate(3.0, 120.0)),
        ("1/366d", Rate(1.0, 366 * 86_400.0)),
        ("1000000/s", Rate(1_000_000.0, 1.0)),
    ],
)
def test_a_rate_means_the_same_in_a_limit_and_in_a_setting(text, rate):
    assert parse_rate(text) == rate
    assert Settings.from_env({"GOPHER_API_RATE": text}).api_rate == rate
    limit = make_limit(text)
    assert limit is not None
    assert limit.rate == rate.per_second


@pytest.mark.parametrize(
    "text", ["", "10", "10/y", "-1/s", "1/0s", "1/367d", "1000001/s", "9" * 200 + "/s", "1/s/s", "\u0661/s", "1e3/s"]
)
def test_what_is_no_rate_is_refused_by_a_limit_and_by_a_setting(text):
    with pytest.raises(ValueError, match="expected a rate") as refused:
        make_limit(text)
    assert str(refused.value) == f"expected {EXPECTED}"
    if text:
        with pytest.raises(ConfigurationError, match="GOPHER_API_RATE"):
            Settings.from_env({"GOPHER_API_RATE": text})


def test_no_rate_at_all_stops_a_type_but_would_close_the_api():
    limit = make_limit("0/s")
    assert limit is not None
    assert limit.rate == 0.0
    with pytest.raises(ConfigurationError, match="GOPHER_API_RATE"):
        Settings.from_env({"GOPHER_API_RATE": "0/s"})


@pytest.mark.parametrize("text", ["10/s", "5/h", "1/d", "1/366d", "0.7/s", "1/7s", "1.234/d"])
def test_a_rate_is_shown_in_a_form_that_means_the_same(text):
    assert format_rate(0.0) == "0/s"
    shown = format_rate(parse_rate(text).per_second)
    assert parse_rate(shown).per_second == pytest.approx(parse_rate(text).per_second)
