"""Public module for declaring handlers."""

from .jobs.handlers import Handler, handler
from .jobs.loading import load_handlers
from .jobs.registry import Registry, registry

__all__ = [
    "Handler",
    "Registry",
    "handler",
    "load_handlers",
    "registry",
]
