"""/dashboard: the web interface.

Pages are rendered on the server with the functions that the API uses, and a button calls the API's own view, so both
check and do the same. Pages work without scripts, which add live figures, plots and copy buttons.
"""

from . import (  # noqa: F401 - each adds its pages to the blueprint
    assets,
    batches,
    dead,
    files,
    gate,
    jobs,
    limits,
    overview,
    problems,
    queues,
    schedules,
    tenants,
    trail,
    types,
    webhooks,
    workers,
)
from .frame import install

__all__ = ["install"]
