"""Links a script: joins what it needs of the library to its own text.

A text is split into statements: each line that starts in the first column begins one, together with the comment above
it. The library consists of definitions (`local function name`, `local name = ...`). Every definition that a statement
mentions, and what that needs in turn, is put right before the statement. So

* no text lists what it needs, and none depends on the place at which it is joined;
* a script has only the definitions that it uses, since each costs time in every run;
* a common case that returns early does not pay for definitions that only the statements below it need.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

Library = Mapping[str, "Statement"]

#: A line that begins a statement: it starts in the first column and neither ends nor continues one.
_BEGINS = re.compile(r"(?!(?:end|else|elseif|until)\b|[\s})\]]|--)")
_DEFINES = re.compile(r"local (?:function (\w+)|([\w, ]+))")
#: Parts without names: strings and comments.
_NO_CODE = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|--[^\n]*""")
#: A name that is not that of a field.
_NAME = re.compile(r"(?<![\w:])(?<![^.]\.)[A-Za-z_]\w*")


class Statement(NamedTuple):
    """A statement with the comment above it, the names that it defines, and all that it mentions."""

    text: str
    defines: tuple[str, ...]
    mentions: tuple[str, ...]


def statements(source: str) -> Iterator[Statement]:
    """Split a text."""
    lines: list[str] = []
    begun = False
    for line in source.splitlines():
        begins = bool(_BEGINS.match(line)) and line != ""
        if begun and (begins or line.startswith("--")):
            yield _statement(lines)
            lines, begun = [], False
        lines.append(line)
        begun = begun or begins
    if lines:
        yield _statement(lines)


def _statement(lines: list[str]) -> Statement:
    text = "\n".join(lines)
    code = _NO_CODE.sub("''", text)
    first = next((line for line in code.splitlines() if _BEGINS.match(line) and line not in ("", "''")), "")
    found = _DEFINES.match(first)
    defines = re.findall(r"\w+", found[1] or found[2]) if found else ()
    return Statement(text, tuple(defines), tuple(dict.fromkeys(_NAME.findall(code))))


def library_of(texts: Mapping[str, str]) -> Library:
    """Return the definitions of a library by name.

    Raises ValueError for a statement that is not a definition, and for a name that is defined twice.
    """
    library: dict[str, Statement] = {}
    for piece, text in texts.items():
        for statement in statements(text):
            if not statement.defines:
                raise ValueError(f"{piece}.lua: a piece of the library may only define names: {statement.text!r}")
            for name in statement.defines:
                if name in library:
                    raise ValueError(f"{piece}.lua: {name} is defined in the library already")
                library[name] = statement
    return library


def link(source: str, library: Library) -> str:
    """Return a script's text with all that it needs of the library.

    Raises ValueError if it redefines a name of the library, or if definitions need each other.
    """
    linked: list[str] = []
    placed: dict[Statement, bool] = {}

    def place(statement: Statement) -> None:
        if placed.setdefault(statement, False):
            return
        for name in statement.mentions:
            needed = library.get(name)
            if needed is None or needed is statement or placed.get(needed):
                continue
            if needed in placed:
                raise ValueError(f"{name} needs itself: {' and '.join(statement.defines)} is among what it needs")
            place(needed)
        placed[statement] = True
        linked.append(statement.text)

    for statement in statements(source):
        for name in statement.defines:
            if name in library:
                raise ValueError(f"{name} is defined in the library already")
        place(statement)
    return "\n".join(linked)
