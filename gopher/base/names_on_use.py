"""Public names of a package that are imported on first use."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

#: Python 3.12 has some hundred frozen objects itself; the smallest program that freezes its own has thousands.
_FROZEN_AT_START = 1000


def names_on_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package; `homes` are the modules in it that have the names."""

    def imported(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with no_search_for_garbage():
            value = getattr(import_module(f".{homes[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return imported


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """Keep Python from searching what is created meanwhile for garbage: modules stay.

    It would search it some ninety times, and take an eighth of the time that a client's import takes. Afterwards all
    objects count as old, as if they had been searched. A program that has turned the collector off, or has frozen
    objects itself, is left alone.
    """
    if not gc.isenabled() or gc.get_freeze_count() > _FROZEN_AT_START:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Moves all objects to the oldest generation, at no cost.
        gc.freeze()
        gc.unfreeze()
        gc.enable()
