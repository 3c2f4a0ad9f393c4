"""Imports the modules of handlers, and calls their optional `preload` and hooks."""

import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path

from gopher.errors import ConfigurationError

from .declared import Mistake
from .module_search import not_found
from .registry import Registry, registry

#: Given what is done next, e.g. "shop.jobs", it watches over it.
Watched = Callable[[str], AbstractContextManager[object]]


def load_handlers(modules: Iterable[str], watched: Watched = nullcontext) -> Registry:
    """Import the modules, so that their handlers are registered, and return the registry.

    Raises ConfigurationError with all mistakes in them.
    """
    names = tuple(modules)
    mistakes = find_mistakes(names, watched)
    if mistakes:
        raise ConfigurationError("\n".join(map(str, mistakes)))
    registry.modules = names
    return registry


def find_mistakes(modules: Iterable[str], watched: Watched = nullcontext) -> list[Mistake]:
    """Import the modules, and return all mistakes in them."""
    with registry.collecting() as mistakes:
        for name in modules:
            with watched(name):
                try:
                    import_module(name)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything
                    mistakes.append(_not_imported(name, error))
    return mistakes


def preload(modules: Iterable[str], watched: Watched = nullcontext) -> None:
    """Call `preload()` of the handler modules that have one, to import what children should share."""
    for name, function in _defined(modules, "preload"):
        with watched(f"{name}.preload()"):
            function()


def start_child(modules: Iterable[str]) -> None:
    """Call the `on_child_start()` of each handler module that has one, in a new child."""
    for _, function in _defined(modules, "on_child_start"):
        function()


def stop_child(modules: Iterable[str]) -> Iterator[tuple[str, BaseException]]:
    """Call the `on_child_stop()` of each handler module that has one, the last first; yield what they raise."""
    for name, function in reversed(list(_defined(modules, "on_child_stop"))):
        try:
            function()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are called all the same
            yield f"{name}.on_child_stop", error


def _defined(modules: Iterable[str], name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    for module in modules:
        function = getattr(import_module(module), name, None)
        if function is not None:
            yield module, function


def _not_imported(name: str, error: BaseException) -> Mistake:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
        return Mistake("", 0, "", f"GOPHER_HANDLERS: {not_found(name) or error}")
    what = f"it calls sys.exit({error.code!r})" if isinstance(error, SystemExit) else _described(error)
    frames = _frames(error)
    shown = "".join(
        f'\n  File "{each.filename}", line {each.lineno}, in {each.name}\n    {each.line}' for each in frames
    )
    file, line = (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)
    return Mistake(file, line, "", f"GOPHER_HANDLERS: {name!r} can't be imported: {what}{shown}")


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of the user's own code, the innermost last; those of libraries where there is nothing else."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith(_NOT_THEIRS)]
    if isinstance(error, SyntaxError) and error.filename:
        # That is in no frame: the file did not begin to run.
        frames.append(traceback.FrameSummary(error.filename, error.lineno, "<module>"))
    return [each for each in frames if not each.filename.startswith(_LIBRARIES)] or frames


#: Of Gopher, and of Python's own import.
_NOT_THEIRS = ("<frozen ", f"{Path(__file__).parents[1]}/", f"{sysconfig.get_path('stdlib')}/importlib/")
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
