"""Tasks: ordinary functions that are job types.

    @task
    def send_mail(to: str, n: int = 1) -> str: ...

    send_mail.delay("ab", n=3).result(timeout=10)

The payload of a job has a field for each parameter; it is checked when the job is submitted.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import update_wrapper
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    overload,
)

import msgspec

from gopher.jobs.arguments import TaskFunction
from gopher.jobs.declared import Declared
from gopher.jobs.handler_options import HandlerOptions, declared_by
from gopher.jobs.handlers import Handler, register_as
from gopher.jobs.job import Job, current_job, new_job_id
from gopher.jobs.registry import Registry, registry
from gopher.jobs.submission import JobFields, SubmitOptions, to_json

from .default_client import check_client, default_client
from .handle import JobHandle

if TYPE_CHECKING:
    from gopher.interface import Gopher

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Submitting(Generic[P, R]):
    """Submits jobs of a task, with options."""

    def __init__(self, handler: Handler, options: SubmitOptions | None = None, client: "Gopher | None" = None) -> None:
        self._handler = handler
        self._options = options or SubmitOptions()
        self._client = client

    @property
    def handler(self) -> Handler:
        """The handler that it is registered as."""
        return self._handler

    @property
    def name(self) -> str:
        """The job type."""
        return self._handler.name

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job that calls the function with these arguments.

        Raises InvalidJob, naming the argument, if one is missing, unknown or of another type; a ServerError if the job
        can't be stored.
        """
        client = self._chosen_client()
        return self._handle(client.enqueue(self.name, self._payload(args, kwargs), **self._options), client)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobFields:
        """Return the job that `delay` would submit, for `client.enqueue_many`, together with jobs of other tasks."""
        fields = {"type": self.name, "payload": self._payload(args, kwargs), **self._options}
        return cast("JobFields", fields)

    @overload
    def map(self: "Submitting[Concatenate[A, B, C, Q], R]", calls: Iterable[tuple[A, B, C]]) -> list[JobHandle[R]]: ...
    @overload
    def map(self: "Submitting[Concatenate[A, B, Q], R]", calls: Iterable[tuple[A, B]]) -> list[JobHandle[R]]: ...
    @overload
    def map(self: "Submitting[Concatenate[A, Q], R]", calls: Iterable[A]) -> list[JobHandle[R]]: ...
    def map(self, calls: Iterable[Any]) -> list[JobHandle[R]]:
        """Submit a job for each value: its first argument, or all of them if it is a tuple.

        All of up to 10,000 are stored, or none.
        """
        submit: Any = self.job
        jobs = [submit(*(each if isinstance(each, tuple) else (each,))) for each in calls]
        client = self._chosen_client()
        return [self._handle(job_id, client) for job_id in client.enqueue_many(jobs)]

    def options(self, **options: Unpack[SubmitOptions]) -> "Submitting[P, R]":
        """Return this with options of a submission, such as `delay=timedelta(minutes=5)` or `queue="mail"`."""
        return Submitting(self._handler, {**self._options, **options}, self._client)

    def using(self, client: "Gopher") -> "Submitting[P, R]":
        """Return this with a client of its own, instead of the default one (see `configure`)."""
        return Submitting(self._handler, self._options, check_client(client))

    def handle(self, job_id: str) -> JobHandle[R]:
        """Return the handle of a job of this task that was submitted before."""
        return self._handle(job_id, self._chosen_client())

    def _handle(self, job_id: str, client: "Gopher") -> JobHandle[R]:
        return JobHandle(job_id, self._handler, client)

    def _chosen_client(self) -> "Gopher":
        return default_client() if self._client is None else self._client

    def _payload(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> msgspec.Raw:
        function: Any = self._handler.function
        text = to_json(function.arguments(args, kwargs), "/payload")
        self._handler.validated(text)
        return msgspec.Raw(text)


class _BaseTask(Submitting[P, R]):
    """A task: a function, and its job type."""

    def __init__(self, handler: Handler, function: TaskFunction) -> None:
        super().__init__(handler)
        self.function = function.function
        self._bind = function.bind
        update_wrapper(cast("Any", self), function.function)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._bind:
            return self.function(current_job() or Job(id=new_job_id(), type=self.name), *args, **kwargs)
        return self.function(*args, **kwargs)

    def __reduce__(self) -> str:
        """Pickle like a function: by its name in its module."""
        return self.function.__qualname__

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class Task(_BaseTask[P, R]):
    """A function that is a job type; called, it runs here and now."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", self._call(args, kwargs))


class AsyncTask(_BaseTask[P, R]):
    """A coroutine function that is a job type; called, it returns the coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return cast("Coroutine[Any, Any, R]", self._call(args, kwargs))


class Decorator(Protocol):
    """Makes a task of a function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class BindingDecorator(Protocol):
    """Makes a task of a function that takes the job first."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[Job, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Job, P], R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    name: str | None = None, /, *, bind: Literal[True], into: Registry | None = None, **options: Unpack[HandlerOptions]
) -> BindingDecorator: ...
@overload
def task(
    name: str | None = None,
    /,
    *,
    bind: Literal[False] = False,
    into: Registry | None = None,
    **options: Unpack[HandlerOptions],
) -> Decorator: ...
def task(
    name: Any = None, /, *, bind: bool = False, into: Registry | None = None, **options: Unpack[HandlerOptions]
) -> Any:
    """Make a function with ordinary arguments a job type: `@task`, or with options `@task(queue="mail")`.

    The type is named after the function with its module, `shop.mail.send`, unless a name is given: `@task("mail")`.
    With `bind=True` the function's first argument is its `Job`. `options` are those of `@handler`.
    """
    target = registry if into is None else into
    if callable(name):
        return _registered(name, declared_by("task", None, options), target, bind=bind)
    declared = declared_by("task", name, options)
    return lambda function: _registered(function, declared, target, bind=bind)


def _registered(function: Callable[..., Any], declared: Declared, target: Registry, *, bind: bool) -> Any:
    wrapped = TaskFunction(function, bind=bind)
    if declared.name is None:
        declared = replace(declared, name=qualified_name(function))
    handler = register_as(declared, wrapped, target)
    if handler is None:
        # The mistakes are reported by who collects them.
        return function
    kind = AsyncTask if inspect.iscoroutinefunction(function) else Task
    return kind(handler, wrapped)


def qualified_name(function: Callable[..., Any]) -> str:
    """Return a function's name with its module: for a script that is run, the name that a worker imports it by."""
    module = str(function.__module__)
    if module == "__main__":
        script = sys.modules["__main__"]
        spec, file = script.__spec__, getattr(script, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}.{function.__qualname__}"
