"""Links a script: joins what it needs of the library to its own text.

A text is split into statements: each line that starts in the first column begins one, together with the comment above
it. The library consists of definitions (`local function name`, `local name = ...`). Every definition that a statement
mentions, and what that needs in turn, is put right before the statement. So

* no text lists what it needs, and none depends on the place at which it is joined;
* a script has only the definitions that it uses, since each costs time in every run;
* a common case that returns early does not pay for definitions that only the statements below it need.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial

from gopher.base.patterns import regex

Library = Mapping[str, "Statement"]
Fill = Callable[[str], str]

#: A line that begins a statement: it starts in the first column and neither ends nor continues one.
_BEGINS = regex(r"(?!(?:end|else|elseif|until)\b|[\s})\]]|--)")
#: The first characters of most lines that do not, "" of an empty one.
_INSIDE = ("", " ", "\t", "}", ")", "]")
_DEFINES = regex(r"local (?:function (\w+)|([\w, ]+))")
_WORD = regex(r"\w+")
#: A name, but not that of a field, a method or a label; or a string or a comment, which have none.
_NAME = regex(r"""\b(?<![^.]\.)(?<!:)([A-Za-z_]\w*)|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|--[^\n]*""")


class Statement:
    """A statement with the comment above it, and the names that it defines."""

    def __init__(self, lines: Sequence[str], beginning: str, fill: Fill) -> None:
        found = _DEFINES.match(beginning)
        self.defines = tuple(_WORD.findall(found[1] or found[2])) if found else ()
        self._lines = lines
        self._fill = fill

    # Both on first use: a script needs a small part of the library.

    @cached_property
    def text(self) -> str:
        return self._fill("\n".join(self._lines))

    @cached_property
    def mentions(self) -> tuple[str, ...]:
        """All names that it mentions, and "" if it has a string or a comment."""
        return tuple(dict.fromkeys(_NAME.findall(self.text)))


def statements(source: str, fill: Fill = str) -> Iterator[Statement]:
    """Split a text. `fill` replaces names in the text of a statement."""
    lines: list[str] = []
    beginning = ""
    for line in source.splitlines():
        begins = line[:1] not in _INSIDE and bool(_BEGINS.match(line))
        if beginning and (begins or line.startswith("--")):
            yield Statement(lines, beginning, fill)
            lines, beginning = [], ""
        lines.append(line)
        if begins:
            beginning = line
    if lines:
        yield Statement(lines, beginning, fill)


def library_of(texts: Mapping[str, str], fill: Callable[[str, str], str] = lambda _piece, text: text) -> Library:
    """Return the definitions of a library by name. `fill` is that of `statements`, for a piece.

    Raises ValueError for a statement that is not a definition, and for a name that is defined twice.
    """
    library: dict[str, Statement] = {}
    for piece, text in texts.items():
        for statement in statements(text, partial(fill, piece)):
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
