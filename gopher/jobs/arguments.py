"""The arguments of a task: a payload whose fields are the parameters of an ordinary function."""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property, update_wrapper
from typing import Any
from uuid import UUID

import msgspec

from gopher.base.patterns import regex
from gopher.errors import InvalidJob

from .job import Job

_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
#: Defaults that a JSON Schema can show, and that calls may share.
_SHOWN = (type(None), bool, int, float, str, Decimal, timedelta, date, time, UUID, Enum)
#: The argument in a message of `inspect.Signature.bind`.
_QUOTED = regex(r"'(\w+)'")


class TaskFunction:
    """The function of a task as that of a handler: its arguments are the fields of the payload.

    With `bind`, its first parameter is the job.
    """

    def __init__(self, function: Callable[..., Any], *, bind: bool = False) -> None:
        self.function = function
        self.bind = bind
        update_wrapper(self, function)

    def __call__(self, job: Any, payload: Any) -> Any:
        positional, named = self._names
        given = [getattr(payload, name) for name in positional]
        if self.bind:
            given.insert(0, job)
        return self.function(*given, **{name: getattr(payload, name) for name in named})

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature of its calls, without the job."""
        whole = inspect.signature(self.function)
        return whole.replace(parameters=list(whole.parameters.values())[int(self.bind) :])

    @cached_property
    def payload_type(self) -> type[msgspec.Struct]:
        """A Struct with a field for each parameter. Raises NameError, TypeError for annotations that are none."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        fields: list[Any] = [
            (each.name, hints.get(each.name, Any), *_default(each.default))
            for each in self.signature.parameters.values()
        ]
        title = "".join(word.capitalize() for word in self.function.__name__.split("_"))
        return msgspec.defstruct(
            title, fields, module=self.function.__module__, kw_only=True, forbid_unknown_fields=True
        )

    def mistakes(self) -> Iterator[str]:
        """Yield why the function can't be a task."""
        first = next(iter(inspect.signature(self.function).parameters.values()), None)
        if self.bind and (first is None or first.kind in (*_MANY, inspect.Parameter.KEYWORD_ONLY)):
            yield "with bind=True, its first parameter is the job"
            return
        for each in self.signature.parameters.values():
            if self._is_job(each.name):
                yield f"{each.name} is the job, no argument: write @task(bind=True), and make it the first parameter"
            if each.name.startswith("__"):
                yield f"{each.name} is no name of a field: write it without the leading underscores"
            if each.kind in _MANY:
                star = "*" if each.kind is inspect.Parameter.VAR_POSITIONAL else "**"
                remedy = f"{each.name}: {'list' if star == '*' else 'dict'}"
                yield f"a task has a fixed list of parameters: write `{remedy}` instead of `{star}{each.name}`"

    def _is_job(self, name: str) -> bool:
        try:
            return typing.get_type_hints(self.function).get(name) is Job
        except (NameError, TypeError):
            # Found again, and reported, with the type of the payload.
            return False

    def arguments(self, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, without defaults. Raises InvalidJob, naming the argument."""
        try:
            return self.signature.bind(*given, **named).arguments
        except TypeError as error:
            found = _QUOTED.search(str(error))
            call = f"{self.function.__name__}{self.signature}"
            raise InvalidJob(f"{error}; the task is {call}", f"/payload/{found[1]}" if found else "/payload") from None

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        """The names of arguments that are given by position, and of those that are given by name."""
        every = self.signature.parameters.values()
        named = [each.name for each in every if each.kind is inspect.Parameter.KEYWORD_ONLY]
        return [each.name for each in every if each.name not in named], named


def _default(value: Any) -> list[Any]:
    if value is inspect.Parameter.empty:
        return []
    return [value if isinstance(value, _SHOWN) else msgspec.field(default_factory=lambda: value)]
