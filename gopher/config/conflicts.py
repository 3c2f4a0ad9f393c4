"""Settings that do not fit together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .server_address import address_conflicts

if TYPE_CHECKING:
    from .settings import Settings


def conflicts(settings: "Settings") -> Iterator[tuple[set[str], str]]:
    """Yield the variables and a message for each conflict between settings."""
    lease, poll = settings.worker_lease, settings.worker_poll_interval
    if lease < 3 * poll:
        names = {"WORKER_LEASE", "WORKER_POLL_INTERVAL"}
        yield names, f"WORKER_LEASE ({lease:g}s) must be at least three times WORKER_POLL_INTERVAL ({poll:g}s)"
    allowed = (*settings.queues, settings.webhooks_queue)
    beyond = [name for name in settings.worker_queues if settings.queues and name not in allowed]
    # Other processes have the default.
    if beyond and settings.worker_queues != ("default",):
        yield {"GOPHER_QUEUES", "WORKER_QUEUES"}, f"WORKER_QUEUES has {beyond[0]!r}, which GOPHER_QUEUES does not list"
    yield from address_conflicts(settings)
