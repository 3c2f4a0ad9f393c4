"""Hooks around enqueuing and around attempts, under the name that the documentation promises."""

from .hooks.middleware import Middleware, Outcome, OutgoingJob
from .hooks.registered import add

__all__ = ["Middleware", "Outcome", "OutgoingJob", "add"]
