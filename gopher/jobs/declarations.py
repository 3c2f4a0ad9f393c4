"""Where a handler's function is declared, and whether it can be a handler."""

import functools
import inspect
import os
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from .arguments import TaskFunction


class Declaration(NamedTuple):
    """A function's declaration in the source. Two of the same location differ by the load of the module."""

    function: object
    module: str
    name: str
    file: str
    line: int
    #: The module's identity: its names, and the spec, which is new with each load.
    names: object
    spec: object

    def replaces(self, before: "Declaration") -> bool:
        """Return whether this is the same function, or the same source loaded again: reloaded, or under another name,
        such as a script that is also imported."""
        if self.function is before.function:
            return True
        same_source = (self.file, self.name) == (before.file, before.name)
        return same_source and not (self.names is before.names and self.spec is before.spec)

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file else ""
        return f"{self.module}.{self.name}{place}"


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that runs when this is called: inside a task, a partial, a bound method or an
    object's `__call__`."""
    while True:
        if isinstance(function, TaskFunction):
            function = function.function
        elif isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, FunctionType) or inspect.isbuiltin(function) or inspect.isclass(function):
            return function
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004 - not whether it is callable: what runs
            if call is None or not isinstance(call, FunctionType | functools.partial):
                return function
            function = call


def declaration(function: Callable[..., Any]) -> Declaration:
    """Return where a function was declared."""
    below = underlying(function)
    code = getattr(below, "__code__", None)
    names = getattr(below, "__globals__", None)
    return Declaration(
        function=function,
        module=str(getattr(below, "__module__", "?")),
        name=str(getattr(below, "__qualname__", repr(below))),
        # The path of a script may be relative to the folder that it was started in.
        file=os.path.abspath(code.co_filename) if code else "",
        line=code.co_firstlineno if code else 0,
        names=names,
        spec=names.get("__spec__") if names else None,
    )


def wrong_kind(function: Callable[..., Any]) -> str:
    """Return why something can't be a handler; "" if it can."""
    below = underlying(function)
    if inspect.isclass(below):
        return "is a class; use a function"
    return next((f"is {kind}; {remedy}" for is_one, kind, remedy in _NOT_RUN if is_one(below)), "")


#: Functions that return immediately when they are called, without having done anything.
_NOT_RUN: tuple[tuple[Callable[[object], bool], str, str], ...] = (
    (inspect.isasyncgenfunction, "an async generator", "return the result instead"),
    (inspect.isgeneratorfunction, "a generator (it has a yield)", "return the result instead"),
)
