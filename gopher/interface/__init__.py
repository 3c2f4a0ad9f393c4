"""The common interface of clients: each operation is declared here, and only here.

Two classes implement it: `Client` uses the server itself, `HttpClient` the API. `gopherctl` uses only this interface,
so that commands do the same either way. The API's routes, roles and document follow from it too.

Names are imported on first use: a program that only submits jobs needs no other part.
"""

from typing import TYPE_CHECKING

from gopher.base.names_on_use import names_on_use

if TYPE_CHECKING:
    from .batches import BatchesInterface as BatchesInterface
    from .batches import OpenBatch as OpenBatch
    from .complete import Gopher as Gopher
    from .dead_letters import DeadLettersInterface as DeadLettersInterface
    from .files import FilesInterface as FilesInterface
    from .fleet import FleetInterface as FleetInterface
    from .flow import FlowInterface as FlowInterface
    from .keys import KeysInterface as KeysInterface
    from .schedules import SchedulesInterface as SchedulesInterface
    from .stored import Stored as Stored
    from .waiting import WaitingInterface as WaitingInterface
    from .webhooks import WebhooksInterface as WebhooksInterface

_HOMES = {
    "BatchesInterface": "batches",
    "DeadLettersInterface": "dead_letters",
    "FilesInterface": "files",
    "FleetInterface": "fleet",
    "FlowInterface": "flow",
    "Gopher": "complete",
    "KeysInterface": "keys",
    "OpenBatch": "batches",
    "SchedulesInterface": "schedules",
    "Stored": "stored",
    "WaitingInterface": "waiting",
    "WebhooksInterface": "webhooks",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the one list is _HOMES
__getattr__ = names_on_use(__name__, _HOMES)
