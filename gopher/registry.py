"""Public module for declaring handlers."""

from .jobs.handlers import Handler, Registry, handler, registry
from .jobs.loading import load_handlers

__all__ = [
    "Handler",
    "Registry",
    "handler",
    "load_handlers",
    "registry",
]
