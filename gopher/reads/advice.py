"""Advice that `/health`, `why`, the CLI, the dashboard and the report have in common.

Commands are in backticks, and work as they are printed (tests/frame/test_printed_commands.py).
"""

from collections.abc import Mapping
from shlex import quote

from gopher.base.durations import format_duration

NO_SCHEDULER = "no scheduler is running: scheduled jobs, retries and schedules will not start"
START_SCHEDULER = "start one with `gopherctl scheduler`"
NO_WORKERS = "no workers are running: start one with `gopherctl worker`"


def start_worker(queue: str) -> str:
    """Return how to start a worker for a queue."""
    return "`gopherctl worker`" if queue == "default" else f"`gopherctl worker --queues {queue}`"


def resume_queue(queue: str) -> str:
    return f"resume it with `gopherctl resume --queue {queue}`"


def resume_type(job_type: str) -> str:
    return f"resume it with `gopherctl resume --type {job_type}`"


def change_limit(job_type: str) -> str:
    return f"set another one with `gopherctl limits set {job_type} --rate 10/s`"


def pause_notes(queues: Mapping[str, float], types: Mapping[str, float]) -> list[str]:
    """Return a sentence for each paused queue and type; for how long (s) each is."""
    return [
        *(
            f"queue {name!r} has been paused for {format_duration(since)}: {resume_queue(name)}"
            for name, since in queues.items()
        ),
        *(
            f"type {name!r} has been paused for {format_duration(since)}: {resume_type(name)}"
            for name, since in types.items()
        ),
    ]


def end_throttling(job_type: str, limit_key: str = "", tenant: str = "") -> str:
    """Return how to end what `RateLimited` has throttled."""
    of_key = f" --limit-key {quote(limit_key)}" if limit_key else f" --tenant {quote(tenant)}" if tenant else ""
    return f"end that with `gopherctl limits release {quote(job_type)}{of_key}`"
