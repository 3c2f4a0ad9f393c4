"""Mutants of the Lua scripts: each differs from what it comes from in one place, found in the syntax tree.

Three kinds are made of every place that allows it:

* `without CALL`: a call made for its effect is left out, a write above all.
* `not CONDITION`: a condition of `if` or `elseif` is negated.
* `CONDITION without OPERAND`: such a condition loses an operand of an `and` or `or`.

A mutant's name is the text it is made in, the function, and the code concerned, so it outlives changes elsewhere.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import tree_sitter_lua
from tree_sitter import Language, Node, Parser

from gopher.queue import scripts

#: Bound here: a hunt replaces the function of the module by one that asks `original`.
_READ = scripts.read
_PARSER = Parser(Language(tree_sitter_lua.language()))
#: What a loop may do at most: a mutant's may have no end, and the server can't stop a script that has written.
_TURNS = 50_000
#: Scripts that do not belong to a queue.
API = (
    "api/admit",
    "api/change_keys",
    "api/drop",
    "api/give_back",
    "api/note_key_use",
    "api/read_keys",
    "api/register_queues",
)

TRANSFER = tuple(
    f"transfer/{name}" for name in ("drop_snapshot", "link_awaiting", "read_snapshot", "store_jobs", "take_snapshot")
)


class Edit(NamedTuple):
    start: int
    end: int
    text: str


class Mutant(NamedTuple):
    name: str
    #: What it is made in: a verb, or a piece such as `library/limits`.
    text: str
    edits: tuple[Edit, ...]
    #: The place in the text that must be reached for it to make a difference.
    place: "Place"


class Place(NamedTuple):
    """A call that is a statement, or a condition."""

    text: str
    start: int
    end: int
    is_condition: bool

    def traced(self, number: int) -> tuple[Edit, ...]:
        """Return what makes a script note in the server's log that it has come here."""
        note = f"redis.log(redis.LOG_WARNING, 'place {number}.') "
        if self.is_condition:
            return Edit(self.start, self.start, f"{note}or ("), Edit(self.end, self.end, ")")
        return (Edit(self.start, self.start, note),)


def texts() -> list[str]:
    """Return the names of all texts that have mutants."""
    return [*scripts.names(), *API, *TRANSFER, *(f"library/{piece}" for piece in scripts.pieces())]


@cache
def mutants() -> tuple[Mutant, ...]:
    """Return all mutants."""
    return tuple(mutant for text in texts() for mutant in _mutants_of(text, original(text)))


@cache
def original(text: str) -> str:
    return _READ(text)


def changed(text: str, *edits: Edit) -> str:
    """Return a text with edits, and with loops that end in any case."""
    source = original(text).encode()
    guard, loops = _guard(text), _bounds(text)
    for start, end, new in sorted([*edits, *loops], reverse=True):
        source = source[:start] + new.encode() + source[end:]
    if not loops:
        return source.decode()
    head = (
        f"local {guard}_left = {_TURNS}\n"
        f"local function {guard}()\n"
        f"  {guard}_left = {guard}_left - 1\n"
        f"  return {guard}_left > 0 or error('a loop without an end')\n"
        "end\n"
    )
    return head + source.decode()


_LOOPS = ("while_statement", "repeat_statement")


def _guard(text: str) -> str:
    return f"turns_{text.replace('/', '_')}"


@cache
def _bounds(text: str) -> tuple[Edit, ...]:
    nodes = _nodes(_tree(original(text).encode()))
    return tuple(_bound(node, f"{_guard(text)}()") for node in nodes if node.type in _LOOPS)


def _bound(loop: Node, guard: str) -> Edit:
    condition = loop.child_by_field_name("condition")
    assert condition is not None
    return Edit(condition.start_byte, condition.start_byte, f"{guard} and ")


def _tree(source: bytes) -> Node:
    root = _PARSER.parse(source).root_node
    assert not root.has_error, "this is not Lua"
    return root


def _nodes(node: Node) -> Iterator[Node]:
    left = [node]
    while left:
        yield (node := left.pop())
        left += reversed(node.children)


def _mutants_of(text: str, source: str) -> Iterator[Mutant]:
    seen: Counter[str] = Counter()
    for node in _nodes(_tree(source.encode())):
        for place, what, edits in _changes(text, node):
            name = f"{text}{_function_of(node)}: {what}"
            seen[name] += 1
            yield Mutant(name if seen[name] == 1 else f"{name} ({seen[name]})", text, edits, place)


def _changes(text: str, node: Node) -> Iterator[tuple[Place, str, tuple[Edit, ...]]]:
    """Return what is made of one node: its place, how to call it, and the edits."""
    parent = node.parent
    if node.type == "function_call" and parent is not None and parent.type in ("block", "chunk"):
        place = Place(text, node.start_byte, node.end_byte, is_condition=False)
        yield place, f"without {_code(node)}", (Edit(node.start_byte, node.end_byte, "do end"),)
    condition = node.child_by_field_name("condition")
    if node.type in ("if_statement", "elseif_statement") and condition is not None:
        start, end, code = condition.start_byte, condition.end_byte, _code(condition)
        place = Place(text, start, end, is_condition=True)
        yield place, f"not {code}", (Edit(start, start, "not ("), Edit(end, end, ")"))
        for inner in _nodes(condition):
            for operand, left in _operands(inner):
                edits = Edit(inner.start_byte, left.start_byte, ""), Edit(left.end_byte, inner.end_byte, "")
                yield place, f"{code} without {_code(operand)}", edits


def _operands(node: Node) -> Iterator[tuple[Node, Node]]:
    """Return each operand of an `and` or `or` with the one that is left without it."""
    if node.type == "binary_expression" and any(child.type in ("and", "or") for child in node.children):
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        assert left is not None
        assert right is not None
        yield left, right
        yield right, left


def _function_of(node: Node) -> str:
    around = node.parent
    while around is not None and around.type != "function_declaration":
        around = around.parent
    name = around and around.child_by_field_name("name")
    return f" {_code(name)}" if name else ""


def _code(node: Node) -> str:
    assert node.text is not None
    return " ".join(node.text.decode().split())
