"""Jobs as results of Django's Tasks."""

import re
from datetime import datetime
from typing import Any

import msgspec
from django.tasks.base import Task, TaskError, TaskResult, TaskResultStatus
from django.utils.module_loading import import_string

from gopher.base.states import ENDED, RUNNING, SUCCEEDED
from gopher.compat import set_return_value
from gopher.jobs.models import JobView


class Call(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of a task: its path, and the arguments of its function."""

    task: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


def new_result(task: Task, job_id: str, call: Call, backend: str, *, enqueued_at: datetime | None) -> TaskResult:
    """Return the result of a task that was not started."""
    return TaskResult(
        task=task,
        id=job_id,
        status=TaskResultStatus.READY,
        enqueued_at=enqueued_at,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=call.args,
        kwargs=call.kwargs,
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def result_of(view: JobView, backend: str) -> TaskResult:
    """Return the result of a stored job. Raises LookupError if it is not that of a task of this project."""
    try:
        call = msgspec.json.decode(view.payload, type=Call)
        task = import_string(call.task)
    except (msgspec.ValidationError, ImportError) as error:
        raise LookupError(f"job {view.job_id} is no task of this project: {error}") from error
    if not isinstance(task, Task):
        raise LookupError(f"job {view.job_id} is no task of this project: {call.task} is none")
    attempts = [row for row in view.history if row.started_at]
    result = TaskResult(
        task=task.using(queue_name=view.queue),
        id=view.job_id,
        status=_status(view.status),
        enqueued_at=_time(view.created_at),
        started_at=_time(attempts[0].started_at if attempts else view.started_at),
        finished_at=_time(view.finished_at),
        last_attempted_at=_time(attempts[-1].started_at if attempts else view.started_at),
        args=call.args,
        kwargs=call.kwargs,
        backend=backend,
        errors=_errors(view),
        worker_ids=[row.worker or "" for row in attempts],
    )
    if view.status in SUCCEEDED:
        set_return_value(result, msgspec.json.decode(view.result))
    return result


def _status(status: str) -> TaskResultStatus:
    if status in SUCCEEDED:
        return TaskResultStatus.SUCCESSFUL
    if status in ENDED:
        return TaskResultStatus.FAILED
    return TaskResultStatus.RUNNING if status in RUNNING else TaskResultStatus.READY


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _errors(view: JobView) -> list[TaskError]:
    """Return the error of the last attempt: that of earlier ones is kept without its traceback."""
    error = msgspec.json.decode(view.error) if view.error else None
    if not error:
        return []
    traceback = error.get("traceback") or ""
    return [TaskError(exception_class_path=_class_path(error["type"], traceback), traceback=traceback)]


def _class_path(name: str, traceback: str) -> str:
    """Return where an exception's class is: a traceback's last lines say it, but for those of Python."""
    named = re.findall(rf"^((?:\w+\.)*{re.escape(name)})(?::|$)", traceback, re.MULTILINE)
    path: str = named[-1] if named else name
    return path if "." in path else f"builtins.{path}"
