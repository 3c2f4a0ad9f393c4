"""The middleware of this process, in the order in which it was added."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gopher.jobs.registry import registry

from .added import attempting, enqueuing, failing, processes
from .middleware import HOOKS, Middleware


class Hooked(NamedTuple):
    """One middleware's hooks; None is one that it does not have."""

    name: str
    before_enqueue: Callable[..., object] | None
    after_enqueue: Callable[..., object] | None
    before: Callable[..., object] | None
    on_success: Callable[..., object] | None
    after: Callable[..., object] | None
    on_failure: Callable[..., object] | None
    on_dead: Callable[..., object] | None
    preload: Callable[..., object] | None
    on_child_start: Callable[..., object] | None
    on_child_stop: Callable[..., object] | None


_added: list[object] = []


def add(middleware: object) -> None:
    """Call the hooks of a middleware from now on. Call it where handlers are declared, as their modules are imported.

    It is a `Middleware`, or any object that has some of its methods. Raises ConfigurationError for anything else.
    """
    if any(middleware is each for each in _added):
        return
    if mistakes := list(_mistakes(middleware)):
        place = inspect.stack(0)[1]
        name = type(middleware).__name__ if not isinstance(middleware, type) else middleware.__name__
        from gopher.jobs.declared import Mistake

        registry.refuse([Mistake(place.filename, place.lineno, f"middleware {name}", each) for each in mistakes])
        return
    _added.append(middleware)
    hooked = Hooked(type(middleware).__name__, *(_hook(middleware, name) for name in Hooked._fields[1:]))
    if hooked.before_enqueue or hooked.after_enqueue:
        enqueuing.append(hooked)
    if hooked.before or hooked.on_success or hooked.after or hooked.on_failure or hooked.on_dead:
        attempting.append(hooked)
    if hooked.on_failure or hooked.on_dead:
        failing.append(hooked)
    if hooked.preload or hooked.on_child_start or hooked.on_child_stop:
        processes.append(hooked)


def clear() -> None:
    """Forget all middleware: for tests."""
    for each in (_added, enqueuing, attempting, failing, processes):
        each.clear()


def _hook(middleware: object, name: str) -> Callable[..., object] | None:
    found = getattr(middleware, name, None)
    inherited = getattr(found, "__func__", None) is getattr(Middleware, name)
    return None if found is None or inherited else found


def _mistakes(middleware: object) -> Iterator[str]:
    if isinstance(middleware, type):
        yield f"is a class: add an instance, middleware.add({middleware.__name__}())"
        return
    hooks = [(name, hook) for name in HOOKS if (hook := _hook(middleware, name)) is not None]
    for name, hook in hooks:
        yield from _wrong_hook(name, hook)
    for name in dir(middleware):
        if name not in HOOKS and name.startswith(("before_", "after_", "on_")):
            from difflib import get_close_matches

            near = get_close_matches(name, HOOKS, 1, 0.5)
            yield f"{name}() is not a hook" + (f": did you mean {near[0]}()?" if near else f"; hooks are {_NAMES}")
    if not hooks:
        yield f"has no hooks; hooks are {_NAMES}"


_NAMES = ", ".join(HOOKS)


def _wrong_hook(name: str, hook: Any) -> Iterator[str]:
    if not callable(hook):
        yield f"{name} is not a method"
    elif inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
        yield f"{name}() is a coroutine or a generator; a hook must be an ordinary method"
    else:
        try:
            inspect.signature(hook).bind(*HOOKS[name])
        except TypeError:
            yield f"{name}() must take {' and '.join(HOOKS[name]) or 'no arguments'}"
        except ValueError:
            return
