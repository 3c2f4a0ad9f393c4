"""What a job may do: its own options, else its handler's, else the settings."""

import msgspec

from gopher.config.settings import Settings

from .handlers import Handler
from .job import Envelope


class Options(msgspec.Struct, frozen=True):
    """The options that count for one job. `timeout` in seconds."""

    max_retries: int
    timeout: float


def resolve(envelope: Envelope, handler: Handler | None, settings: Settings) -> Options:
    """Return the options of a job: what it says, else what its handler says, else the settings."""
    max_retries, timeout = envelope.max_retries, envelope.timeout
    if handler is not None:
        max_retries = handler.max_retries if max_retries is None else max_retries
        timeout = handler.timeout if timeout is None else timeout
    return Options(
        settings.worker_max_retries if max_retries is None else max_retries,
        settings.worker_job_timeout if timeout is None else timeout,
    )
