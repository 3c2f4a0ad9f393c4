"""Hooks of a worker's processes: those of handler modules, and of middleware around them."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

from gopher.jobs import loading

from .added import processes


def preload(modules: Iterable[str], watched: loading.Watched = nullcontext) -> None:
    """Call the `preload()` of handler modules, then that of middleware, which may close what those have opened."""
    loading.preload(modules, watched)
    for each in processes:
        if each.preload is not None:
            with watched(f"{each.name}.preload()"):
                each.preload()


def start_child(modules: Iterable[str]) -> None:
    """Call the `on_child_start()` of middleware, then that of handler modules. Raises what they raise."""
    for each in processes:
        if each.on_child_start is not None:
            each.on_child_start()
    loading.start_child(modules)


def stop_child(modules: Iterable[str]) -> Iterator[tuple[str, BaseException]]:
    """Call the `on_child_stop()` of handler modules, then that of middleware; yield what they raise."""
    yield from loading.stop_child(modules)
    for each in reversed(processes):
        if each.on_child_stop is not None:
            try:
                each.on_child_stop()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are called all the same
                yield f"{each.name}.on_child_stop", error
