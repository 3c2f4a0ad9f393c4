"""A handler's return value as JSON, or a word about why not."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import msgspec
import pytest
from gopher.worker.children.results import MAX_RESULT, BadResult, encode_result, find_bad
from hypothesis import given
from hypothesis import strategies as st

from gopher.jobs.result_type import result_type
from gopher.jobs.strict_json import MAX_DEPTH, check_json

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


def nested(depth):
    value = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_a_result_may_be_as_deep_as_a_payload():
    assert encode_result(nested(MAX_DEPTH))
    check_json(encode_result(nested(MAX_DEPTH)), "/payload")


def test_keys_that_are_no_texts_become_texts():
    assert encode_result({2.5: "b", None: "c", True: "d"}) == b'{"2.5":"b","null":"c","true":"d"}'


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
        ({"a": [{1: "x", "1": "y"}]}, "result.a[0] has the keys 1 and '1', which are the same in JSON"),
        ({None: 1, "null": 2}, "result has the keys None and 'null'"),
        ({True: 1, "true": 2}, "result has the keys True and 'true'"),
        ({1.5: 1, "1.5": 2}, "result has the keys 1.5 and '1.5'"),
        ({10**30: 1, str(10**30): 2}, "which are the same in JSON"),
        (nested(MAX_DEPTH + 1), "is nested too deeply"),
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


@dataclass
class Receipt:
    total: int
    note: str | None = None


class Line(msgspec.Struct):
    at: datetime
    by: UUID


def typed(annotation):
    def function(job, payload): ...

    function.__annotations__ = {"return": annotation}
    return result_type(function)


@pytest.mark.parametrize(
    ("annotation", "value", "shown"),
    [
        (Receipt, Receipt(3), b'{"total":3,"note":null}'),
        (Receipt, {"total": 3}, b'{"total":3}'),
        (list[Receipt], (Receipt(1), {"total": 2}), b'[{"total":1,"note":null},{"total":2}]'),
        (Line, Line(datetime(2030, 1, 31, tzinfo=UTC), UUID(int=7)),
         b'{"at":"2030-01-31T00:00:00Z","by":"00000000-0000-0000-0000-000000000007"}'),
        (set[int], {5}, b"[5]"),
        (float, 3, b"3"),
        (int, 2**200, str(2**200).encode()),
        (str | None, None, b""),
        (None, None, b""),
        (Annotated[int, msgspec.Meta(ge=1)], 1, b"1"),
        (dict[int, str], {1: "a"}, b'{"1":"a"}'),
    ],
)  # fmt: skip
def test_a_result_of_the_annotated_type_is_stored(annotation, value, shown):
    assert encode_result(value, typed(annotation)) == shown


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Receipt, {"total": "3"}, r"result\.total expected `int`, got `str`"),
        (Receipt, {}, r"result\.total is required"),
        (list[Receipt], [Receipt(1), {"total": None}], r"result\.1\.total expected `int`, got `null`"),
        (int, True, "result expected `int`, got `bool`"),
        (str, None, "result expected `str`, got `null`"),
        (None, 5, "result expected `null`, got `int`"),
        (Annotated[int, msgspec.Meta(ge=1)], 0, "result expected `int` >= 1"),
        (dict[str, int], {"a": 1.5}, "result"),
    ],
)
def test_a_result_of_another_type_is_refused_with_the_place_in_it(annotation, value, message):
    with pytest.raises(BadResult, match=f"not of its annotated type: {message}") as raised:
        encode_result(value, typed(annotation))
    assert raised.value.error_type == "WrongResult"


@pytest.mark.parametrize("annotation", [Any, object, TypeVar("T"), NoReturn, Iterator[int], math.__class__])
def test_what_json_has_no_schema_for_is_not_checked(annotation):
    assert typed(annotation) is None


def test_what_can_not_be_json_is_refused_with_its_place_also_where_a_type_is_annotated():
    for value in (float("nan"), object()):
        with pytest.raises(BadResult, match=r"result\.x is") as raised:
            encode_result({"x": value}, typed(dict[str, Any]))
        assert raised.value.error_type == "ResultNotJson"
