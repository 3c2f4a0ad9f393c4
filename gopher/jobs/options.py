"""Effective options of a job: its own, its handler's, or the settings."""

import msgspec

from gopher.config.settings import Settings

from .handlers import Handler
from .job import Envelope


class Options(msgspec.Struct, frozen=True):
    """Effective options of a job. `timeout` is in seconds."""

    max_retries: int
    timeout: float


def resolve(envelope: Envelope, handler: Handler | None, settings: Settings) -> Options:
    """Return the effective options: those of the job, the handler or the settings, in this order."""
    max_retries, timeout = envelope.max_retries, envelope.timeout
    if handler is not None:
        max_retries = handler.max_retries if max_retries is None else max_retries
        timeout = handler.timeout if timeout is None else timeout
    return Options(
        settings.worker_max_retries if max_retries is None else max_retries,
        settings.worker_job_timeout if timeout is None else timeout,
    )
