"""The Lua scripts, one a verb, each linked with what it needs of the library and of the tables in Python."""

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from gopher.server.calls import Script

from . import facts
from .linker import Library, library_of, link

_LUA = Path(__file__).with_name("lua")


def build(name: str, source: str, replace: Mapping[str, str] | None = None) -> Script:
    """Build the script `name` from its text; `replace` has other texts for some pieces of the library."""
    known = _library_of({**_pieces(), **replace}) if replace else library()
    whole = link(facts.with_names(name, source), known)
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


@cache
def script(name: str) -> Script:
    """Return the script of a verb, e.g. `script("enqueue")`."""
    return build(name, read(name))


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
def library() -> Library:
    """Return what scripts may use without defining it: the library's definitions and the tables, by name."""
    return _library_of(_pieces())


def _library_of(pieces: Mapping[str, str]) -> Library:
    return library_of({"facts": facts.definitions(), **pieces}, facts.with_names)
