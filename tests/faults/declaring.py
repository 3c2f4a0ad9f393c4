"""Handlers that declare a schedule and a limit of their own. `GOPHER_HANDLERS=tests.faults.declaring`."""

from gopher import Job, handler


@handler("declared.tick", cron="* * * * * *")
def tick(job: Job, payload: dict) -> None:
    """Is made each second."""


@handler("declared.limited", concurrency=3)
def limited(job: Job, payload: dict) -> None:
    """Runs three at a time."""
