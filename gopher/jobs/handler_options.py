"""The options of `@handler` and `@task`, as a type checker knows them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from gopher.config.key_kinds import Role

from .backoff import Backoff
from .declared import Declared
from .declared_schedules import Schedule
from .option_hints import OF_DECORATORS, hint_for

#: Returns a job's unique key, None for none, of its payload.
UniqueKey = Callable[[Any], str | None]
_Duration = str | float | timedelta | None


class HandlerOptions(TypedDict, total=False):
    """`retry_on=(ConnectionError,)` retries after these exceptions only, and `permanent=(...)` after all but these.
    `backoff=["10s", "1m", "5m"]` lists the delays of the retries, which also sets how many there are.

    `rate_limit="10/s"` (with `burst`) and `concurrency=4` apply across all workers, and with `limit_per_key=True` to
    the jobs of each `limit_key` separately. `cron="0 3 * * *"` or `cron="every 45 minutes"` creates a schedule with the
    name of the type and an empty payload; a `Schedule` has a payload, and a list has several schedules.

    With `preemptible=True`, a job that runs while one of high priority finds no free child is frozen meanwhile.
    With `exclusive=True`, a job is stopped if the worker has lost its server for nearly a lease, so that it can't run
    twice at the same time. With `needs="admin"` (or "read") the API accepts such jobs only from keys with at least that
    role. With `attach_result=True`, a result of more than 64 KiB is stored as a file of the job, `result.json`.

    `queue`, `priority`, `retention`, `expires_in`, `unique_key`, `unique_for`, `unique_mode`, `max_wait`, `tags` and
    `durability` apply to jobs that are submitted without them; `unique_key` is a function of the payload:
    `unique_key=lambda payload: payload.customer`.
    """

    timeout: _Duration
    max_retries: int | None
    backoff: str | Backoff | Sequence[str | float | timedelta]
    permanent: tuple[type[BaseException], ...]
    retry_on: tuple[type[BaseException], ...] | None
    rate_limit: str | None
    burst: float | None
    concurrency: int | None
    limit_per_key: bool
    exclusive: bool
    preemptible: bool
    cron: str | timedelta | Schedule | Sequence[str | timedelta | Schedule] | None
    timezone: str
    needs: Role
    queue: str | None
    priority: str | None
    retention: _Duration
    expires_in: _Duration
    unique_key: UniqueKey | None
    unique_for: _Duration
    unique_mode: str | None
    max_wait: _Duration
    tags: Sequence[str]
    durability: str | None
    attach_result: bool


def declared_by(decorator: str, name: str | None, options: Mapping[str, Any]) -> Declared:
    """Return the arguments of a decorator. Raises TypeError for an unknown one, with the nearest known one."""
    for each in options:
        if each not in HandlerOptions.__annotations__:
            hint = hint_for(each, OF_DECORATORS, HandlerOptions.__annotations__)
            raise TypeError(f"@{decorator}() has no option {each!r}: {hint}")
    return Declared(name, **options)
