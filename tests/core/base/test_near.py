"""Misspelt names are answered with the one that was meant."""

import pytest

from gopher.base.near import did_you_mean
from gopher.errors import InvalidJob
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.submission import parse


@pytest.mark.parametrize(
    ("name", "expected"),
    [("emial", "did you mean 'email'?"), ("emails", "did you mean 'email'?"), ("xyz", ""), ("e" * 10**6, "")],
)
def test_only_names_that_are_much_alike_are_suggested(name, expected):
    assert did_you_mean(name, ["email", "report"]) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"type":"a","payload":{},"time_out":3}', "/time_out: is not a known field: did you mean 'timeout'?"),
        (b'{"type":"a","payload":{},"zzz":3}', "/zzz: is not a known field: remove it"),
        (
            b'{"type":"a","payload":{},"recurring":{"timezon":"UTC"}}',
            "/recurring/timezon: is not a known field: did you mean 'timezone'?",
        ),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest_of_its_object(body, expected):
    with pytest.raises(InvalidJob) as refused:
        parse(body)
    assert str(refused.value) == expected


def test_an_unknown_type_is_answered_with_the_nearest_one():
    registry = Registry()
    handler("email", into=registry)(lambda job, payload: None)
    with pytest.raises(InvalidJob, match=r"for 'emial': did you mean 'email'\? Registered types: email"):
        registry.require("emial")
    with pytest.raises(InvalidJob, match="for 'report'; registered types: email"):
        registry.require("report")
