"""Links a script: joins what it needs of the library to its own text.

A text is split into statements: each line that starts in the first column begins one, together with the comment above
it. The library consists of definitions (`local function name`, `local name = ...`). Every definition that a statement
mentions, and what that needs in turn, is put right before the statement. So

* no text lists what it needs, and none depends on the place at which it is joined;
* a script has only the definitions that it uses, since each costs time in every run;
* a common case that returns early does not pay for definitions that only the statements below it need,
* and none pays for those that only functions need which are marked as rare: `local function name(...) -- rare`. They
  are defined when one of these functions is called. (Such a function may be called, but not passed on as a value.)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial

from gopher.base.patterns import regex

Library = Mapping[str, "Statement"]
Fill = Callable[[str], str]

#: A line that begins a statement: it starts in the first column and neither ends nor continues one.
_BEGINS = regex(r"(?!(?:end|else|elseif|until)\b|[\s})\]]|--)")
#: The first characters of most lines that do not, "" of an empty one.
_INSIDE = ("", " ", "\t", "}", ")", "]")
#: Ends the first line of a function that is rarely called.
_RARE = "-- rare"
_DEFINES = regex(r"local (?:function (\w+)|([\w, ]+))")
_WORD = regex(r"\w+")
#: A name, but not that of a field, a method or a label; or a string or a comment, which have none.
_NAME = regex(r"""\b(?<![^.]\.)(?<!:)([A-Za-z_]\w*)|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|--[^\n]*""")


class Statement:
    """A statement with the comment above it, and the names that it defines."""

    def __init__(self, lines: Sequence[str], beginning: str, fill: Fill) -> None:
        found = _DEFINES.match(beginning)
        self.defines = tuple(_WORD.findall(found[1] or found[2])) if found else ()
        self.is_function = bool(found and found[1])
        self.is_rare = self.is_function and beginning.endswith(_RARE)
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
    own = list(statements(source))
    for name in (name for statement in own for name in statement.defines):
        if name in library:
            raise ValueError(f"{name} is defined in the library already")
    linker = _Linker(own, library)
    for statement in own:
        linker.place(statement)
    return "\n".join(linker.linked)


class _Linker:
    """Joins the text of one script."""

    def __init__(self, own: Sequence[Statement], library: Library) -> None:
        self.linked: list[str] = []
        self._placed: dict[Statement, bool] = {}
        self._own = dict.fromkeys(own)
        self._names = {name: each for each in own for name in each.defines}
        self._library = library
        self._rare = [statement for statement in self._reached(own, ()) if statement.is_rare]
        self._are_defined = False
        #: What only they need.
        self._inside: set[Statement] = set()
        if self._rare:
            needed = self._reached(self._rare, ())
            others = [statement for statement in own if not (statement.is_function and statement in needed)]
            kept = self._reached(others, self._rare)
            self._inside = {each for each in needed if each not in kept and not each.is_rare}

    def _reached(self, begin: Iterable[Statement], stop: Iterable[Statement]) -> dict[Statement, None]:
        """Return statements and all definitions that they need, except for what only those in `stop` need."""
        reached = dict.fromkeys(statement for statement in begin if statement not in stop)
        left = list(reached)
        for statement in left:
            for name in statement.mentions:
                needed = self._library.get(name)
                if needed is None and statement in self._own:
                    needed = self._names.get(name)
                if needed is not None and needed not in reached and needed not in stop:
                    reached[needed] = None
                    left.append(needed)
        return reached

    def place(self, statement: Statement) -> None:
        """Add a statement to the text, right behind what it needs, unless it is there already."""
        if statement in self._inside:
            return
        if statement.is_rare:
            self._place_rare(statement)
        elif self._begins(statement):
            for needed in self._needs(statement):
                self.place(needed)
            self._placed[statement] = True
            self.linked.append(statement.text)

    def _begins(self, statement: Statement) -> bool:
        return not self._placed.setdefault(statement, False)

    def _needs(self, statement: Statement) -> Iterator[Statement]:
        for name in statement.mentions:
            needed = self._library.get(name)
            if needed is None or needed is statement or self._placed.get(needed):
                continue
            if needed in self._placed:
                raise ValueError(f"{name} needs itself: {' and '.join(statement.defines)} is among what it needs")
            yield needed

    def _place_rare(self, statement: Statement) -> None:
        """Declare all rare functions where one is needed first, and define them where the script has its own last one.

        Each only defines all of them, with what only they need, and calls what it now is.
        """
        names = [name for each in self._rare for name in each.defines]
        if not any(each in self._placed for each in self._rare):
            self.linked.append(f"local {', '.join(names)}")
            self._placed.update(dict.fromkeys(self._rare, True))
        own = [each for each in self._own if each.is_rare]
        if self._are_defined or (own and statement is not own[-1]):
            return
        self._are_defined = True
        body: list[str] = []
        for each in dict.fromkeys([*self._own, *self._rare]):
            if each.is_rare or each in self._inside:
                self._fill_rare(each, body)
        self.linked.append("\n".join(["local function define_rare()", *body, "end"]))
        self.linked += [f"function {name}(...)\n  define_rare()\n  return {name}(...)\nend" for name in names]

    def _fill_rare(self, statement: Statement, body: list[str]) -> None:
        self._placed[statement] = False
        for needed in self._needs(statement):
            if needed in self._inside:
                self._fill_rare(needed, body)
            else:
                self.place(needed)
        self._placed[statement] = True
        for name in statement.mentions if statement in self._own else ():
            own = self._names.get(name)
            if own is not None and own not in self._placed:
                rare = " and ".join(statement.defines)
                raise ValueError(f"{rare} is defined on first use, but {name}, which it needs, below it")
        # The name is that of a local outside.
        body.append(statement.text.replace("local function", "function", 1) if statement.is_rare else statement.text)
