"""A handler's return value as JSON, or a word about why not."""

import json
import math

import msgspec
import pytest
from gopher.worker.children.results import MAX_RESULT, BadResult, encode_result, find_bad
from hypothesis import given
from hypothesis import strategies as st

# Any character but a lone surrogate.
text = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=15,
)


@given(values.filter(lambda value: value is not None))
def test_what_json_can_hold_comes_back_as_it_was(value):
    assert json.loads(encode_result(value)) == value


def test_none_is_no_result():
    assert encode_result(None) == b""


def test_integers_of_any_size_are_exact():
    assert encode_result(2**200) == str(2**200).encode()


def test_a_tuple_becomes_a_list():
    assert encode_result((1, "a")) == b'[1,"a"]'


def cycle():
    value = {"name": "ring"}
    value["self"] = [value]
    return value


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), "result is a object"),
        ({"sizes": [1, 2, 3, {4}]}, "result.sizes[3] is a set"),
        ({"a": {"b": float("nan")}}, "result.a.b is nan"),
        ([math.inf], "result[0] is inf"),
        (b"x", "result is a bytes"),
        ({(1, 2): "x"}, "result has a key that is a tuple"),
        ({"name": "\ud800"}, "result.name has a lone surrogate"),
        (cycle(), "is nested too deeply, or contains itself"),
        (deep(), "is nested too deeply, or contains itself"),
        (msgspec.Raw(b"{}"), "result is a Raw"),
    ],
)
def test_names_the_place_that_json_can_not_hold(value, place):
    with pytest.raises(BadResult, match="the handler returned a value that JSON does not support") as caught:
        encode_result(value)
    assert caught.value.error_type == "ResultNotJson"
    assert place in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_result_may_be_as_large_as_the_limit_and_no_larger():
    assert len(encode_result("x" * (MAX_RESULT - 2))) == MAX_RESULT
    with pytest.raises(BadResult, match=f"{MAX_RESULT + 1} bytes of JSON: the maximum is {MAX_RESULT}") as caught:
        encode_result("x" * (MAX_RESULT - 1))
    assert caught.value.error_type == "ResultTooLarge"


@given(values)
def test_finds_nothing_wrong_with_what_json_can_hold(value):
    assert find_bad(value) is None
