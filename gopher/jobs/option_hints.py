"""What to write for an option that does not exist: what replaces one of Celery or RQ, else a near name."""

from collections.abc import Iterable

from gopher.base.near import did_you_mean

#: Options of Celery's and RQ's decorators, and what replaces them here.
OF_DECORATORS = {
    "acks_late": "remove it, since a job is always acknowledged after it has run",
    "autoretry_for": "write retry_on=(...)",
    "base": "use middleware instead of a task class",
    "default_retry_delay": "write backoff=[...], a list of delays",
    "dont_autoretry_for": "write permanent=(...)",
    "ignore_result": "write retention=0",
    "name": 'write the name first, @task("name")',
    "reject_on_worker_lost": "remove it, since the jobs of a lost worker run again",
    "result_ttl": "write retention=...",
    "retry": "write max_retries= and backoff=[...]",
    "retry_backoff": 'write backoff="exponential", which is the default, or a gopher.retry.Backoff',
    "retry_backoff_max": 'write backoff=Backoff("exponential", cap=...), from gopher.retry',
    "retry_jitter": "write backoff=Backoff(..., jitter=...), from gopher.retry",
    "retry_kwargs": "write max_retries=...",
    "serializer": "remove it, since arguments are JSON",
    "soft_time_limit": "write timeout=...",
    "throws": "write permanent=(...)",
    "time_limit": "write timeout=...",
    "track_started": "remove it, since the start of a job is always recorded",
    "ttl": "write expires_in=...",
}
#: The same of their submissions.
OF_SUBMISSIONS = {
    "args": "give the arguments to delay()",
    "at_front": 'write priority="high"',
    "countdown": "write delay=...",
    "depends_on": "write after=[job.id]",
    "description": "write metadata={...} or tags=[...]",
    "eta": "write execute_at=...",
    "expires": "write expires_in=... or expires_at=...",
    "ignore_result": "write retention=0",
    "job_timeout": "write timeout=...",
    "kwargs": "give the arguments to delay()",
    "link": "submit the second job with after=[job.id]",
    "meta": "write metadata={...}",
    "result_ttl": "write retention=...",
    "retry": "write max_retries=...",
    "soft_time_limit": "write timeout=...",
    "task_id": "write job_id=... or unique_key=...",
    "time_limit": "write timeout=...",
    "ttl": "write expires_in=...",
}


def hint_for(name: str, replaced: dict[str, str], known: Iterable[str]) -> str:
    """Return what to write instead of an unknown option, for the end of an error message."""
    if name in replaced:
        return replaced[name]
    names = list(known)
    return did_you_mean(name, names, alike=0.5) or f"options are {', '.join(names)}"
