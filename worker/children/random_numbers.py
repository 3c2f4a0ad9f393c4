"""Seeds random generators, so that children generate different numbers, and a job's seed does not affect the next job.

Generators created at import, before the fork, have the same state in every child. Those that are globals of a module,
or attributes of its classes, are seeded again in each child; those inside objects or closures are not found.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

from .watch import watch

#: Generators to seed in each child. Found once, before the first fork, since searching takes some milliseconds.
_found: list[object] = []


def find_generators() -> None:
    """Find the generators that the imported modules hold."""
    kinds = (random.Random, *_numpys_kinds())
    held = (each for module in list(sys.modules.values()) for each in _held(module))
    generators = [each for each in held if issubclass(type(each), kinds)]
    _found[:] = {id(each): each for each in generators if not isinstance(each, random.SystemRandom)}.values()


def _held(module: ModuleType) -> Iterator[object]:
    for value in list(getattr(module, "__dict__", {}).values()):
        yield value
        if type(value) is type and value.__module__ == getattr(module, "__name__", None):
            yield from list(vars(value).values())


def _numpys_kinds() -> list[type]:
    module = sys.modules.get("numpy.random")
    found = [getattr(module, name, None) for name in ("Generator", "RandomState", "BitGenerator")]
    return [kind for kind in found if isinstance(kind, type)]


def seed_anew() -> None:
    """Seed what was found, and the functions of `random` and `numpy.random`."""
    random.seed()
    for each in _found:
        with suppress(Exception):
            _seed(each)


def _seed(generator: Any) -> None:
    if isinstance(generator, random.Random):
        generator.seed()
        return
    bits = getattr(generator, "bit_generator", generator)
    if hasattr(bits, "set_state"):
        # A RandomState, which shows the name of its bit generator only.
        fresh = getattr(sys.modules["numpy.random"], bits.get_state(legacy=False)["bit_generator"])
        bits.set_state(fresh().state)
    else:
        bits.state = type(bits)().state


class SharedNumbers:
    """The functions of `random` and `numpy.random`, which all code of a process shares."""

    def __init__(self) -> None:
        self._numpy: ModuleType | None = None
        self._bits: Any = None
        self._note_numpy()

    def restore(self) -> None:
        """Seed them again, since a job may have set their state."""
        random.seed()
        self._note_numpy()
        if self._numpy is not None:
            with suppress(Exception):
                if self._numpy.get_bit_generator() is not self._bits:
                    self._numpy.set_bit_generator(self._bits)
                _seed(self._bits)

    def numpy_is_new(self) -> bool:
        """Return whether a job was the first to import numpy, so that its calls were not recorded."""
        return self._numpy is None and "numpy.random" in sys.modules

    def _note_numpy(self) -> None:
        module = sys.modules.get("numpy.random")
        if self._numpy is None and module is not None and hasattr(module, "get_bit_generator"):
            self._numpy, self._bits = module, module.get_bit_generator()
            watch.note(module, "seed set_state set_bit_generator")
