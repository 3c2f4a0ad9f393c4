"""What scripts are given of the tables in Python."""

import re

import pytest
from redis import Redis

from gopher.base.counters import COUNTERS
from gopher.base.latencies import BOUNDS
from gopher.base.priorities import PRIORITIES, STRICT_ORDER
from gopher.base.states import ENDED, State
from gopher.queue import facts
from gopher.queue.scripts import build, names, script


@pytest.fixture
def redis(redis_url):
    with Redis.from_url(redis_url) as client:
        yield client


def ask(redis, lua):
    return redis.eval(build("x", lua).source, 1, "p:")


def test_a_table_is_defined_only_where_it_is_mentioned():
    assert build("x", "return ENDED[ARGV[1]]").source.startswith("local ENDED = { ")
    assert build("x", "-- not ENDED\nreturn ARGV[1]").source == "-- not ENDED\nreturn ARGV[1]"


def test_names_are_replaced_when_the_script_is_built():
    assert build("x", "return { STATE.pending, COUNTER.enqueued, COUNTER.stale, KEY.pending, KEY.next }").source == (
        "return { 'pending', 'enqueued:', 'stale', 'pending:', 'next' }"
    )


def test_a_misspelt_name_is_noticed_when_the_script_is_built():
    with pytest.raises(ValueError, match=r"mail\.lua: there is no STATE\.complted: expected one of scheduled, "):
        build("mail", "return STATE.complted")


def test_lua_reads_what_python_says(redis):
    for state in State:
        assert ask(redis, f"return ENDED['{state}'] and 1 or 0") == (state in ENDED)
    assert [name.decode() for name in ask(redis, "return PRIORITIES")] == list(PRIORITIES)
    assert ask(redis, "return PRIORITY_OF[LETTERS.low]") == b"low"
    assert ask(redis, "return EVERY.letter").decode() == STRICT_ORDER
    lists = [*(f"p:pending:{name}".encode() for name in PRIORITIES), b"p:tenant_ids"]
    assert ask(redis, "return { EVERY.pending }") == lists
    # As texts, since the server cuts numbers off to whole ones.
    bounds = ask(redis, "local found = {} for i = 1, #BOUNDS - 1 do found[i] = tostring(BOUNDS[i]) end return found")
    assert [float(bound) for bound in bounds] == list(BOUNDS)
    assert ask(redis, "return BOUNDS[#BOUNDS] == math.huge and 1 or 0") == 1


@pytest.mark.parametrize("name", names())
def test_no_script_defines_what_is_a_table_of_ours(name):
    for table in facts.TABLES:
        assert script(name).source.count(f"local {table} = ") <= 1


def test_the_letters_of_priorities_differ():
    assert len(set(STRICT_ORDER)) == len(PRIORITIES)


def test_each_counter_that_a_script_counts_is_in_the_table():
    fields = [re.escape(counter.field) for counter in COUNTERS]
    for name in names():
        for counted in re.findall(r"count\('([^']+)'|'totals', '([^']+)'", script(name).source):
            assert re.fullmatch("|".join(fields), "".join(counted)), f"{name} counts {counted}"
