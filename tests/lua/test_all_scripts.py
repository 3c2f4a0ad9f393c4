"""Every script has its tests, and a head that says what it takes and returns."""

import re
from pathlib import Path

import pytest

from gopher.queue import scripts
from gopher.queue.scripts import join, script
from tests.invariants.lab import source

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_has_tests_of_its_own(name):
    assert (HERE / f"test_{name}.py").exists()


@pytest.mark.parametrize("name", scripts.names())
def test_its_head_says_what_it_does_takes_and_returns(name):
    head = source(name).partition("\n\n")[0].partition("\nlocal ")[0]
    assert head.startswith("-- ")
    for line in ("\n-- KEYS  1 prefix\n", "\n-- Returns  ", "\n-- uses: "):
        assert line in head


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
