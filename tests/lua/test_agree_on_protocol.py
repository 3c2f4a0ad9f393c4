"""api/agree_on_protocol: who may use the data, and what is noted of it."""

import pytest

from gopher.queue.scripts import script
from gopher.server.calls import Call


@pytest.fixture
def meta(lab):
    return lab.keys.prefix + "meta"


def agree(lab, meta, protocol, oldest):
    return lab.run(Call(script("api/agree_on_protocol"), meta, (str(protocol), str(oldest)), list))


def noted(lab, meta):
    return {field.decode(): value.decode() for field, value in lab.redis.hgetall(meta).items()}


def test_both_numbers_are_noted_on_an_empty_server(lab, meta):
    assert agree(lab, meta, 5, 3)[0] == b"OK"
    assert noted(lab, meta) == {"protocol": "5", "schema": "3"}


@pytest.mark.parametrize(
    "before", [{"schema": "1"}, {"protocol": "4", "schema": "2"}, {"protocol": "x", "schema": "1"}]
)
def test_older_numbers_are_raised(lab, meta, before):
    lab.redis.hset(meta, mapping=before)
    agree(lab, meta, 5, 3)
    assert noted(lab, meta) == {"protocol": "5", "schema": "3"}


def test_the_protocol_before_is_told(lab, meta):
    lab.redis.hset(meta, mapping={"schema": "1"})
    call = Call(script("api/agree_on_protocol"), meta, ("5", "3"), list)
    assert [lab.run(call), lab.run(call)] == [[b"OK", 1], [b"OK", 5]]


@pytest.mark.parametrize("oldest", [2, 5])
def test_newer_numbers_are_left_alone(lab, meta, oldest):
    before = {"protocol": "6", "schema": str(oldest)}
    lab.redis.hset(meta, mapping=before)
    assert agree(lab, meta, 5, 2) == [b"OK", 6]
    assert noted(lab, meta) == before


def test_a_process_that_is_too_old_is_told_the_numbers_and_changes_nothing(lab, meta):
    before = {"protocol": "8", "schema": "6"}
    lab.redis.hset(meta, mapping=before)
    assert agree(lab, meta, 5, 3) == [b"TOO OLD", 8, 6]
    assert noted(lab, meta) == before
