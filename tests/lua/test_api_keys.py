"""api/change_keys, api/read_keys and api/note_key_use: the API keys that are kept on the server."""

import pytest

from gopher.queue.scripts import script
from gopher.server.calls import Call

ONE, OTHER, THIRD = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def keys(lab):
    return lab.keys.prefix + "api_keys"


def change(lab, keys, *changes, most=2):
    arguments = [value for each in changes for value in each]
    return lab.run(Call(script("api/change_keys"), keys, (str(most), *arguments), bytes.decode))


def read(lab, keys, version="-"):
    return lab.run(Call(script("api/read_keys"), keys, (version,), list))


def note(lab, keys, digest, milliseconds=60_000):
    return lab.run(Call(script("api/note_key_use"), keys, (digest, str(milliseconds)), bool))


def stored(lab, keys):
    found = {field.decode(): value.decode() for field, value in lab.redis.hgetall(keys).items()}
    return {field: value for field, value in found.items() if field != "version"}


def test_keys_are_added_replaced_and_removed_together(lab, keys):
    assert change(lab, keys, (ONE, "", "a")) == "OK"
    assert change(lab, keys, (ONE, "a", "b"), (OTHER, "", "c")) == "OK"
    assert stored(lab, keys) == {ONE: "b", OTHER: "c"}
    lab.redis.hset(keys, f"used:{ONE}", 1)
    assert change(lab, keys, (ONE, "b", "")) == "OK"
    assert stored(lab, keys) == {OTHER: "c"}


def test_a_key_that_another_client_has_changed_is_left_alone_and_so_are_the_others(lab, keys):
    change(lab, keys, (ONE, "", "a"))
    before = lab.redis.hgetall(keys)
    assert change(lab, keys, (OTHER, "", "c"), (ONE, "", "b")) == "CHANGED"
    assert change(lab, keys, (OTHER, "", "c"), (ONE, "x", "b")) == "CHANGED"
    assert change(lab, keys, (THIRD, "x", "")) == "OK", "what is gone already need not be removed"
    assert lab.redis.hgetall(keys) == before


def test_a_repeat_changes_nothing(lab, keys):
    for changes in ([(ONE, "", "a")], [(ONE, "a", "b"), (OTHER, "", "c")], [(ONE, "b", "")]):
        assert change(lab, keys, *changes) == "OK"
        before = lab.redis.hgetall(keys)
        assert change(lab, keys, *changes) == "OK"
        assert lab.redis.hgetall(keys) == before


def test_there_are_no_more_keys_than_may_be(lab, keys):
    change(lab, keys, (ONE, "", "a"), (OTHER, "", "b"))
    lab.redis.hset(keys, f"used:{ONE}", 1)
    assert change(lab, keys, (THIRD, "", "c")) == "FULL"
    assert change(lab, keys, (ONE, "a", "d")) == "OK"
    assert change(lab, keys, (ONE, "d", ""), most=0) == "OK"
    assert change(lab, keys, (THIRD, "", "c")) == "OK"


def test_keys_are_read_once_a_version(lab, keys):
    now, version, nothing = read(lab, keys)
    assert (version, nothing) == (b"", [])
    assert abs(now - lab.redis.time()[0] * 1000) < 60_000
    change(lab, keys, (ONE, "", "a"))
    _, version, found = read(lab, keys, "")
    assert dict(zip(found[0::2], found[1::2], strict=True))[ONE.encode()] == b"a"
    assert len(read(lab, keys, version.decode())) == 2
    change(lab, keys, (ONE, "a", "b"))
    assert len(read(lab, keys, version.decode())) == 3


def test_a_use_is_noted_once_in_a_while_and_of_keys_that_there_are(lab, keys):
    assert not note(lab, keys, ONE)
    assert lab.redis.exists(keys) == 0
    change(lab, keys, (ONE, "", "a"))
    version = lab.redis.hget(keys, "version")
    assert note(lab, keys, ONE)
    used = int(stored(lab, keys)[f"used:{ONE}"])
    assert abs(used - lab.redis.time()[0] * 1000) < 60_000
    assert not note(lab, keys, ONE, 3_600_000)
    lab.redis.hset(keys, f"used:{ONE}", used - 60_000)
    assert note(lab, keys, ONE)
    assert lab.redis.hget(keys, "version") == version
