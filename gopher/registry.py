"""Declaring handlers, under the name that the documentation promises."""

from .jobs.handlers import Handler, Registry, handler, registry
from .jobs.loading import load_handlers

__all__ = [
    "Handler",
    "Registry",
    "handler",
    "load_handlers",
    "registry",
]
