"""Renamed names, supported for one release with a warning that has the new one."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def warn(old: str, new: str, depth: int = 2) -> None:
    """Warn who called the function that calls this."""
    warnings.warn(
        f"{old} is deprecated and will be removed in the next release: use {new}",
        DeprecationWarning,
        stacklevel=depth + 1,
    )


def old_names(module: str, names: Mapping[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: old name -> (new name, its object)."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new, value = names[name]
        warn(f"{module}.{name}", new)
        return value

    return find
