"""A backend of Django's Tasks (Django 6.0 and later): `TASKS = {"default": {"BACKEND": "...GopherBackend"}}`."""

import inspect
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json
from django.utils.module_loading import import_string

from gopher.base.names import QUEUE_NAME, TYPE_NAME
from gopher.compat import set_return_value
from gopher.errors import ConfigurationError, Discard, InvalidJob, JobNotFound
from gopher.hooks.middleware import Middleware, Outcome
from gopher.hooks.registered import add
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job
from gopher.jobs.registry import Registry, registry

from . import client
from .project import handler_modules
from .results import Call, new_result, result_of

#: The job type of tasks in modules that a worker does not import by itself, or whose path can't be a type.
ANY_TASK = "django.task"


class GopherBackend(BaseTaskBackend):
    """Enqueues tasks as jobs. The job type is the path of the task.

    `OPTIONS` are the options of `@handler` for all tasks, such as `{"timeout": "10m", "max_retries": 5}`; with
    `"on_commit": True`, tasks are enqueued when the current transaction is committed.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._handler_options = dict(self.options)
        self._on_commit = bool(self._handler_options.pop("on_commit", False))
        try:
            handler("checked", into=Registry(), **self._handler_options)(_run_any)
        except (TypeError, ConfigurationError) as error:
            raise InvalidTaskBackend(f"TASKS[{alias!r}]['OPTIONS']: {error}") from None
        if registry.get(ANY_TASK) is None:
            handler(ANY_TASK, **self._handler_options)(_run_any)
        add(_signals)

    def validate_task(self, task: Task) -> None:
        """Called for each task that is declared, and before it is enqueued: a declared one becomes a job type."""
        super().validate_task(task)
        if not QUEUE_NAME.fullmatch(task.queue_name):
            raise InvalidTask(f"queue {task.queue_name!r} must match {QUEUE_NAME.pattern}")
        path = task.module_path
        if TYPE_NAME.fullmatch(path) and registry.get(path) is None:
            handler(path, **self._handler_options)(_runner(task))

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        """Submit a job. Raises InvalidTask, a ServerError if it can't be stored."""
        self.validate_task(task)
        call = Call(task.module_path, normalize_json(list(args)), normalize_json(dict(kwargs)))
        gopher = client()
        try:
            job = gopher.prepare(
                _type_of(task),
                call,
                queue=task.queue_name,
                priority=_priority(task.priority),
                execute_at=_time(task.run_after),
            )
        except InvalidJob as error:
            raise InvalidTask(str(error)) from error
        result = new_result(task, job.id, call, self.alias, enqueued_at=timezone.now())

        def store() -> None:
            gopher.store([job])
            task_enqueued.send(type(self), task_result=result)

        if self._on_commit:
            transaction.on_commit(store)
        else:
            store()
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """Return a task's result as it is now. Raises TaskResultDoesNotExist."""
        try:
            return result_of(client().job(result_id), self.alias)
        except (JobNotFound, InvalidJob, LookupError) as error:
            raise TaskResultDoesNotExist(str(error)) from error


def _type_of(task: Task) -> str:
    path = task.module_path
    return path if TYPE_NAME.fullmatch(path) and task.func.__module__ in handler_modules() else ANY_TASK


def _priority(number: int) -> str:
    return "high" if number > 0 else "low" if number < 0 else "normal"


def _time(moment: Any) -> str | None:
    if moment is None:
        return None
    return str((moment if timezone.is_aware(moment) else timezone.make_aware(moment)).isoformat())


def _runner(task: Task) -> Any:
    """Return the handler of a task."""

    async def run_async(job: Job, payload: Call) -> Any:
        arguments = _begin(task, job, payload)
        return normalize_json(await task.func(*arguments, **payload.kwargs))

    def run(job: Job, payload: Call) -> Any:
        arguments = _begin(task, job, payload)
        return normalize_json(task.func(*arguments, **payload.kwargs))

    runner = run_async if inspect.iscoroutinefunction(task.func) else run
    runner.__doc__, runner.__module__, runner.__qualname__ = (
        task.func.__doc__,
        task.func.__module__,
        task.func.__qualname__,
    )
    return runner


def _run_any(job: Job, payload: Call) -> Any:
    """Runs a task of any module."""
    try:
        task = import_string(payload.task)
    except ImportError as error:
        raise Discard(f"there is no task {payload.task}: {error}") from error
    if not isinstance(task, Task):
        raise Discard(f"{payload.task} is not a task")
    return normalize_json(task.call(*_begin(task, job, payload), **payload.kwargs))


def _begin(task: Task, job: Job, call: Call) -> list[Any]:
    """Announce that a task starts, and return the arguments of its function."""
    now = timezone.now()
    result = replace(
        new_result(task, job.id, call, task.backend, enqueued_at=None),
        status=TaskResultStatus.RUNNING,
        started_at=now,
        last_attempted_at=now,
        worker_ids=[f"{socket.gethostname()}:{os.getpid()}"] * job.attempt,
    )
    _signals.running[job.id] = result
    task_started.send(task.get_backend().__class__, task_result=result)
    return [TaskContext(task_result=result), *call.args] if task.takes_context else list(call.args)


class _Signals(Middleware):
    """Sends `task_finished` when no further attempt follows. A child that died can't: its task has no signal."""

    def __init__(self) -> None:
        self.running: dict[str, TaskResult] = {}

    def on_success(self, job: Job, result: Any) -> None:
        self._finished(job, TaskResultStatus.SUCCESSFUL, result)

    def on_dead(self, job: Job, outcome: Outcome) -> None:
        self._finished(job, TaskResultStatus.FAILED)

    def after(self, job: Job, outcome: Outcome) -> None:
        self.running.pop(job.id, None)

    def _finished(self, job: Job, status: TaskResultStatus, value: Any = None) -> None:
        running = self.running.get(job.id)
        if running is not None:
            finished = replace(running, status=status, finished_at=timezone.now())
            set_return_value(finished, value)
            task_finished.send(finished.task.get_backend().__class__, task_result=finished)


_signals = _Signals()
