"""The parts of a client that submitting does not need: each is imported and made on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gopher.interface.complete import Gopher

if TYPE_CHECKING:
    from gopher.reads.jobs import Inspector
    from gopher.reads.listing import Listing
    from gopher.reads.why import Explainer

    from .api_keys import ApiKeys
    from .batches import Batches
    from .dead_letters import DeadLetters
    from .files import Files
    from .fleet import Fleet
    from .limits import Flow
    from .schedules import Schedules
    from .waiting import Waiting
    from .webhooks import Webhooks

#: Part of a client -> its module and class, and what that needs.
_PARTS = {
    "inspector": ("gopher.reads.jobs", "Inspector", ("server", "registry")),
    "dead_letters": ("gopher.admin.dead_letters", "DeadLetters", ("server", "inspector")),
    "flow": ("gopher.admin.limits", "Flow", ("server", "registry")),
    "schedules": ("gopher.admin.schedules", "Schedules", ("server", "_types")),
    "batches": ("gopher.admin.batches", "Batches", ("server", "_types")),
    "keys": ("gopher.admin.api_keys", "ApiKeys", ("server",)),
    "fleet": ("gopher.admin.fleet", "Fleet", ("server", "inspector")),
    "waiting": ("gopher.admin.waiting", "Waiting", ("server", "inspector", "copies")),
    "copies": ("gopher.admin.copies", "Copies", ("server", "store", "settings", "_types", "files")),
    "webhooks": ("gopher.admin.webhooks", "Webhooks", ("server", "inspector")),
    "files": ("gopher.admin.files", "Files", ("server",)),
    "_listing": ("gopher.reads.listing", "Listing", ("server", "inspector")),
    "_explainer": ("gopher.reads.why", "Explainer", ("server", "inspector")),
}


class ClientParts(Gopher):
    """What `Client` has as attributes besides its own operations."""

    inspector: "Inspector"
    dead_letters: "DeadLetters"
    flow: "Flow"
    schedules: "Schedules"
    batches: "Batches"
    keys: "ApiKeys"
    fleet: "Fleet"
    webhooks: "Webhooks"
    files: "Files"
    waiting: "Waiting"
    _listing: "Listing"
    _explainer: "Explainer"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make a part that submitting does not need, on first use."""
            if name not in _PARTS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            module, kind, needs = _PARTS[name]
            make = getattr(import_module(module), kind)
            return self.__dict__.setdefault(name, make(*(getattr(self, each) for each in needs)))
