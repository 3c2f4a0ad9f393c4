"""The Lua scripts, one a verb, each linked with what it needs of the library and of the tables in Python.

An installed Gopher has some as they were linked when it was built (setup.py), so that programs that only submit jobs
need not link them. A checkout has none of those.
"""

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

# setup.py imports this module, with no library installed.
if TYPE_CHECKING:
    from gopher.server.calls import Script

    from .linker import Library

_LUA = Path(__file__).with_name("lua")
#: What programs run that only submit jobs.
LINKED = ("enqueue",)


def build(name: str, source: str, replace: Mapping[str, str] | None = None) -> "Script":
    """Build the script `name` from its text; `replace` has other texts for some pieces of the library."""
    return _script(name, linked(name, source, replace))


@cache
def script(name: str) -> "Script":
    """Return the script of a verb, e.g. `script("enqueue")`."""
    if name in LINKED and (_LUA / "linked").is_dir():
        return _script(name, read(f"linked/{name}"))
    return build(name, read(name))


def _script(name: str, whole: str) -> "Script":
    from gopher.server.calls import Script

    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def linked(name: str, source: str, replace: Mapping[str, str] | None = None) -> str:
    """Return a script's text with all that it needs. The arguments are those of `build`."""
    from . import facts
    from .linker import link

    known = _library_of({**_pieces(), **replace}) if replace else library()
    return link(facts.with_names(name, source), known)


def names() -> list[str]:
    """Return the names of all scripts."""
    return _names_in(_LUA)


def read(name: str) -> str:
    """Return a text as it is written: that of a verb, or of a piece such as `library/base`."""
    # A program that submits a job reads more than fifty: `Path` would take as long as the system.
    with open(f"{_LUA}/{name}.lua", encoding="utf-8") as text:
        return text.read()


def pieces() -> list[str]:
    """Return the names of the pieces of the library."""
    return _names_in(_LUA.joinpath("library"))


def _names_in(folder: Path) -> list[str]:
    return sorted(name.removesuffix(".lua") for name in os.listdir(folder) if name.endswith(".lua"))


@cache
def _pieces() -> dict[str, str]:
    return {piece: read(f"library/{piece}") for piece in pieces()}


@cache
def library() -> "Library":
    """Return what scripts may use without defining it: the library's definitions and the tables, by name."""
    return _library_of(_pieces())


def _library_of(pieces: Mapping[str, str]) -> "Library":
    from . import facts
    from .linker import library_of

    return library_of({"facts": facts.definitions(), **pieces}, facts.with_names)
