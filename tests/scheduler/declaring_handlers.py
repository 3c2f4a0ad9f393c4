"""Handlers that declare what the environment says: DECLARED=tick,limit."""

import os

from gopher import Job, handler

DECLARED = os.environ.get("DECLARED", "").split(",")


@handler("tick", cron="@yearly" if "tick" in DECLARED else None, queue="reports")
def tick(job: Job, payload: dict) -> None:
    pass


@handler("limited", concurrency=1 if "limit" in DECLARED else None)
def limited(job: Job, payload: dict) -> None:
    pass
