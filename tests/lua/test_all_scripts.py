"""Every script has its tests, its head says what it takes and returns, and no script can fail halfway."""

import re
from pathlib import Path

import pytest

from gopher import scripts
from gopher.scripts import join, script

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_has_tests_of_its_own(name):
    assert (HERE / f"test_{name}.py").exists()


@pytest.mark.parametrize("name", scripts.names())
def test_its_head_says_what_it_does_takes_and_returns(name):
    own = script(name).source.rpartition("-- KEYS")[0].rpartition("\n\n")[0]
    text = script(name).source.removeprefix(own)
    for line in ("-- KEYS  1 prefix", "-- Returns  ", "-- uses: base"):
        assert line in text


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_never_reads_a_payload(name):
    assert "cjson" not in script(name).source


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_uses_all_that_it_names_and_nothing_else(lab, name):
    """Loading compiles it; a global that it does not have would be an error only when it is reached."""
    lab.redis.script_load(script(name).source)
    defined = set(re.findall(r"local function (\w+)|local (\w+(?:, \w+)*)", script(name).source))
    names = {word for pair in defined for word in re.split(r",\s*", "".join(pair)) if word}
    builtin = set("redis tonumber tostring ipairs pairs unpack next type".split())
    code = re.sub(r"--[^\n]*|'[^']*'", "", script(name).source)
    called = set(re.findall(r"(?<![.:\w])(\w+)\(", code)) - {"and", "or", "not", "if", "while", "function", "return"}
    assert called <= names | builtin


def test_a_piece_can_be_replaced_by_another_text():
    clock = join("heartbeat", "-- uses: base clock\nreturn now", {"clock": "local now = 7"})
    assert clock.source.endswith("local now = 7\n-- uses: base clock\nreturn now")
    assert clock.name == "heartbeat"
    assert clock.sha != script("heartbeat").sha
