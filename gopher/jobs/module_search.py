"""Explains which handler module can't be found, without importing any."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from gopher.errors import ConfigurationError

#: How many similar names are suggested, and how similar they are at least.
_SUGGESTED, _SIMILAR = 3, 0.6


def require_modules(names: Iterable[str]) -> None:
    """Raise ConfigurationError if a module can't be found. Nothing is imported, so its own mistakes show up later."""
    sentences = [sentence for name in names if (sentence := not_found(name))]
    if sentences:
        raise ConfigurationError("\n".join(f"GOPHER_HANDLERS: {sentence}" for sentence in sentences))


def not_found(name: str) -> str:
    """Return what was looked for, where, and similar names; "" if the module is there."""
    found: ModuleSpec | None = None
    for part, full in _steps(name):
        spec = _spec(full, found)
        if spec is None:
            return _sentence(name, part, found)
        found = spec
    return ""


def folders_of(names: Iterable[str]) -> set[Path]:
    """Return the folders of the user's own packages and modules among these: not of installed ones."""
    specs = filter(None, (_spec(name.partition(".")[0], None) for name in names))
    found = {Path(folder).resolve() for spec in specs for folder in _folders(spec) or _folder_of_file(spec)}
    return {folder for folder in found if not folder.is_relative_to(sys.prefix) and "site-packages" not in folder.parts}


def _folder_of_file(module: ModuleSpec) -> list[str]:
    return [str(Path(module.origin).parent)] if module.origin and module.has_location else []


def _steps(name: str) -> Iterator[tuple[str, str]]:
    """Yield each part of a dotted name with the name up to there: ("shop", "shop"), ("jobs", "shop.jobs")."""
    parts = name.split(".")
    for at, part in enumerate(parts, 1):
        yield part, ".".join(parts[:at])


def _spec(full: str, parent: ModuleSpec | None) -> ModuleSpec | None:
    if full in sys.modules:
        return sys.modules[full].__spec__
    try:
        # `find_spec` of a dotted name would import the packages above it.
        return find_spec(full) if parent is None else PathFinder.find_spec(full, _folders(parent))
    except (ImportError, ValueError):
        return None


def _folders(package: ModuleSpec) -> list[str]:
    return list(package.submodule_search_locations or [])


def _sentence(name: str, part: str, parent: ModuleSpec | None) -> str:
    if parent is None:
        where, beside = f"looked in the current folder ({Path.cwd()}) and the installed packages", None
    elif folders := _folders(parent):
        where, beside = f"looked in {', '.join(folders)}", folders
    else:
        where, beside = f"{parent.name!r} is a single file ({parent.origin})", []
    before = parent.name if parent else ""
    # `jobs.py` in place of `jobs`.
    near = [before] if part == "py" and before else _near(name, part, before, beside)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"there is no module {name!r}: {where}.{hint}"


def _near(name: str, part: str, before: str, folders: Sequence[str] | None) -> list[str]:
    """Return the name with `part` replaced by similar modules in `folders`, or at the top for None."""
    there = {each.name for each in iter_modules(folders) if not each.name.startswith("_")}
    similar = get_close_matches(part, sorted(there - sys.stdlib_module_names), _SUGGESTED, _SIMILAR)
    head = f"{before}." if before else ""
    tail = name[len(head) + len(part) :]
    return [f"{head}{each}{tail}" for each in similar]
