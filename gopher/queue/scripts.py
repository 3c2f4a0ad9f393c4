"""The Lua scripts, one a verb, joined with the shared pieces that each names in its `uses:` line."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from gopher.server.calls import Script

from . import facts

_USES = re.compile(r"^-- uses: (.*)$", re.MULTILINE)


def join(name: str, source: str, replace: dict[str, str] | None = None) -> Script:
    """Put the shared pieces that `source` names before it; `replace` has other texts for some of them."""
    uses = _USES.search(source)
    pieces = uses[1].split() if uses else []
    texts = [*((replace or {}).get(piece) or _read(f"shared/{piece}") for piece in pieces), source]
    whole = facts.with_names(name, "\n".join(_with_tables(texts)))
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def _with_tables(texts: Iterable[str]) -> Iterator[str]:
    """Yield texts, each behind the tables that it mentions first: what returns before them does not pay for them."""
    defined: set[str] = set()
    for text in texts:
        new = [name for name in facts.tables_in(text) if name not in defined]
        defined.update(new)
        yield "\n".join([*facts.definitions(new), text])


@cache
def script(name: str) -> Script:
    """Return the script of a verb, e.g. `script("enqueue")`."""
    return join(name, _read(name))


def names() -> list[str]:
    """Return the names of all scripts."""
    return sorted(
        entry.name.removesuffix(".lua") for entry in files("gopher.queue.lua").iterdir() if entry.name.endswith(".lua")
    )


@cache
def _read(name: str) -> str:
    return files("gopher.queue.lua").joinpath(f"{name}.lua").read_text()
