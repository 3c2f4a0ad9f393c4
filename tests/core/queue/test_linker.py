"""Scripts as they are put together out of their own text and the library's definitions."""

import pytest

from gopher.queue.linker import library_of, link, statements

COUNTERS = """local counts = {}

-- Count.
local function count(field)
  counts[field] = 1
end
"""
WRITING = """local function write()
  for field in pairs(counts) do
    redis.call('INCR', P .. field)
  end
end
"""
LIBRARY = library_of({"base": "local P = KEYS[1]\n", "counters": COUNTERS, "writing": WRITING})


def linked(source):
    return link(source, LIBRARY).split("\n")


SOURCE = """-- A.
local a, b = 1, {
  2,
}

-- F.
-- More.
local function f(x)

  return x
end
if a then
  f(b)
else
  f(a)
end
"""


def test_a_text_is_split_into_statements_with_the_comment_above_each():
    found = list(statements(SOURCE))
    assert [each.defines for each in found] == [("a", "b"), ("f",), ()]
    assert "\n".join(each.text for each in found) + "\n" == SOURCE
    assert found[1].text.startswith("-- F.\n-- More.\nlocal function f(x)")
    assert set(found[2].mentions) >= {"a", "b", "f"}


@pytest.mark.parametrize(
    "mention",
    ["return count", "return P .. count", "return P ..count", "return { count }", "return -count", "return not(count)"],
)
def test_what_is_mentioned_is_linked_with_all_that_it_needs(mention):
    assert [line for line in linked(mention) if line.startswith("local")][-2:] == [
        "local counts = {}",
        "local function count(field)",
    ]


@pytest.mark.parametrize(
    "mention",
    [
        "return 1 -- count",
        "return 'count'",
        'return "count"',
        "return it.count",
        "return it:count()",
        "return 'it\\'s', 'count'",
        "return account",
    ],
)
def test_texts_comments_and_fields_are_no_mention(mention):
    assert linked(mention) == [mention]


def test_a_definition_occurs_once_right_before_what_mentions_it_first():
    assert linked("local a = 1\nif a then\n  return P\nend\nreturn P .. counts") == [
        "local a = 1",
        "local P = KEYS[1]",
        "if a then",
        "  return P",
        "end",
        "local counts = {}",
        "",
        "return P .. counts",
    ]


def test_what_returns_early_comes_before_what_only_the_rest_needs():
    lines = linked("if not ARGV[1] then\n  return P\nend\nwrite()")
    assert lines.index("  return P") < lines.index("local counts = {}") < lines.index("local function write()")


def test_a_function_of_the_script_is_linked_with_what_it_needs_though_it_is_called_later():
    lines = linked("local function mine()\n  write()\nend\nreturn mine()")
    assert lines.index("local function write()") < lines.index("local function mine()")


RARE = library_of(
    {
        "shared": "local shared = {}\n",
        "unusual": "local function unusual()\n  return shared\nend\n",
        "bury": "local function bury(id) -- rare\n  return unusual(), id\nend\n",
    }
)


def test_what_only_rare_functions_need_is_defined_when_one_is_called():
    source = "local own = 1\nlocal function mine()\n  return own, unusual()\nend\n"
    source += "local function settle() -- rare\n  return mine()\nend\nif shared then\n  settle()\nend\nreturn bury(own)"
    lines = link(source, RARE).split("\n")
    begin, end = lines.index("local function define_rare()"), lines.index("function settle(...)")
    inside = [line for line in lines[begin + 1 : end] if "function" in line]
    assert inside == [
        "local function unusual()",
        "local function mine()",
        "function settle() -- rare",
        "function bury(id) -- rare",
    ]
    # What others need, too, is outside.
    assert lines.index("local own = 1") < lines.index("local shared = {}") < begin
    assert lines.index("local settle, bury") < begin
    assert lines[end:] == [
        *("function settle(...)", "  define_rare()", "  return settle(...)", "end"),
        *("function bury(...)", "  define_rare()", "  return bury(...)", "end"),
        *("if shared then", "  settle()", "end", "return bury(own)"),
    ]


def test_a_rare_function_of_which_nothing_is_said_costs_nothing():
    assert link("return shared", RARE) == "local shared = {}\nreturn shared"


def test_a_rare_function_that_needs_what_is_defined_below_it_is_refused():
    with pytest.raises(ValueError, match="settle is defined on first use, but late, which it needs, below it"):
        link("local function settle() -- rare\n  return late\nend\nlocal late = 1\nreturn settle()", RARE)


def test_a_function_may_mention_itself():
    library = library_of({"x": "local function deep(n)\n  return n > 0 and deep(n - 1)\nend"})
    assert link("return deep(3)", library).count("local function deep") == 1


def test_definitions_that_need_each_other_are_refused():
    library = library_of({"x": "local function a()\n  b()\nend\nlocal function b()\n  a()\nend"})
    with pytest.raises(ValueError, match="a needs itself: b is among what it needs"):
        link("return a()", library)


def test_a_name_that_the_library_has_twice_is_refused():
    with pytest.raises(ValueError, match=r"two\.lua: a is defined in the library already"):
        library_of({"one": "local a = 1", "two": "local a = 2"})


def test_a_script_may_not_define_a_name_of_the_library():
    with pytest.raises(ValueError, match="P is defined in the library already"):
        link("local P = 1\nreturn P", LIBRARY)


def test_a_piece_of_the_library_may_not_do_anything():
    with pytest.raises(ValueError, match=r"one\.lua: a piece of the library may only define names: \"redis"):
        library_of({"one": "redis.call('PING')"})
