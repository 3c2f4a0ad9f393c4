"""Every script has its tests, a head that says what it takes and returns, and no name that it does not have."""

import re
from pathlib import Path

import pytest

from gopher.base.priorities import PRIORITIES, STRICT_ORDER
from gopher.base.states import State
from gopher.queue import scripts
from gopher.queue.linker import statements
from gopher.queue.scripts import build, read, script

HERE = Path(__file__).parent
ALL = [
    *scripts.names(),
    *(
        f"api/{name}"
        for name in ("admit", "change_keys", "drop", "give_back", "note_key_use", "read_keys", "register_queues")
    ),
    *(
        f"transfer/{name}"
        for name in ("drop_snapshot", "import_batch", "link_awaiting", "read_snapshot", "store_jobs", "take_snapshot")
    ),
]
TEXTS = [*ALL, *(f"library/{piece}" for piece in scripts.pieces())]

KEYWORDS = """and break do else elseif end false for function if in local nil not or repeat return then true until
    while""".split()
BUILTIN = """ARGV KEYS cmsgpack ipairs math next pairs redis string table tonumber tostring type unpack""".split()
#: Where names are given a meaning: `local function f(a, b)`, `local a, b =`, `for a, b in`, `function(a, b)`.
DEFINED = re.compile(r"local function (\w+)\(([^)]*)\)|local ([\w, ]+)|for ([\w, ]+?) (?:in\b|=)|function\(([^)]*)\)")


def names_defined(code):
    return {name for found in DEFINED.findall(code) for name in re.findall(r"\w+", " ".join(found))}


def code_of(text):
    """Return a text without comments, strings, fields, and keys of tables."""
    text = re.sub(r"'(?:\\.|[^'\\\n])*'|--[^\n]*", "''", text)
    return re.sub(r"(?<=[{,])\s*\w+ = ", " ", re.sub(r"(?<![.])[.:]\w+", "", text))


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_has_tests_of_its_own(name):
    assert (HERE / f"test_{name}.py").exists()


@pytest.mark.parametrize("name", scripts.names())
def test_its_header_describes_effect_arguments_and_reply(name):
    head = read(name).partition("\n\n")[0] + "\n"
    assert all(line.startswith("--") for line in head.splitlines())
    for line in ("\n-- KEYS  1 prefix\n", "\n-- Returns  "):
        assert line in head


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_never_reads_a_payload(name):
    assert "cjson" not in script(name).source


@pytest.mark.parametrize("name", ALL)
def test_a_script_mentions_no_name_that_it_does_not_have(lab, name):
    """Loading compiles it; a global that it does not have would be an error only when it is reached."""
    lab.redis.script_load(script(name).source)
    code = code_of(script(name).source)
    mentioned = set(re.findall(r"\b[A-Za-z_]\w*", code))
    assert mentioned <= names_defined(script(name).source) | set(KEYWORDS) | set(BUILTIN)


@pytest.mark.parametrize("name", TEXTS)
def test_a_name_of_the_library_means_the_same_everywhere(name):
    """It is what a script is linked by."""
    library = scripts.library()
    for statement in statements(read(name)):
        own = statement.defines if name.startswith("library/") else ()
        assert not names_defined(statement.text) & set(library) - set(own), statement.text


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_is_given_only_what_it_uses(name):
    code = code_of(script(name).source)
    for defined in re.findall(r"^local function (\w+)", code, re.MULTILINE):
        assert len(re.findall(rf"\b{defined}\b", code)) > 1, f"{defined} is not used"


@pytest.mark.parametrize("name", TEXTS)
def test_states_priorities_and_keys_come_from_the_tables(name):
    """So that a new one is a row of a table, and a misspelt one an error when the script is built."""
    code = re.sub(r"--[^\n]*", "", read(name))
    spelt = re.findall(r"'(\w+):?'", code)
    assert not {*State, *PRIORITIES, STRICT_ORDER} & set(spelt)
    assert "P .. '" not in code


def rare_of(name):
    return re.findall(r"local function (\w+)\(.*\) -- rare\n", read(name))


def test_a_rare_function_is_called_and_never_passed_on():
    """What has it as a value would define it again with each call."""
    library = [rare for piece in scripts.pieces() for rare in rare_of(f"library/{piece}")]
    assert library
    for name in TEXTS:
        rare = {*library, *rare_of(name)}
        assert not re.findall(rf"\b(?:{'|'.join(rare)})\b(?!\()", code_of(read(name))), name


def test_a_piece_of_the_library_can_be_replaced_by_another_text():
    clock = build("heartbeat", "return now", {"clock": "local now = 7"})
    assert clock.source == "local now = 7\nreturn now"
    assert clock.name == "heartbeat"
    assert clock.sha != script("heartbeat").sha
