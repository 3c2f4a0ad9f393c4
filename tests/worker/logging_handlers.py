"""Handlers that log in every way that a user's code does."""

import logging
from typing import Any

import structlog

from gopher import Job, handler

log = logging.getLogger("shop")
events = structlog.get_logger("shop.events")

SECRET = "hunter2-in-the-payload"


@handler("talkative", max_retries=0)
def talkative(job: Job, payload: dict[str, Any]) -> None:
    """Logs, and fails when it is told to."""
    log.info("an order of %d", 7, extra={"job_id": "its own", "queue": "too"})
    log.debug("nobody wants to know")
    log.warning("two\nlines")
    structlog.contextvars.bind_contextvars(order=7)
    events.warning("out of stock", article="pear\x1b[31m")
    structlog.contextvars.clear_contextvars()
    try:
        raise KeyError("no such pear")
    except KeyError:
        log.exception("it is missing")
    if payload.get("fail"):
        raise ValueError("failed")
