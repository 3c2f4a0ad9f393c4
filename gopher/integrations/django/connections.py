"""Database connections around jobs: as Django treats them around requests, and checked."""

import inspect
from collections.abc import Callable
from typing import Any

from asgiref.sync import SyncToAsync
from django import db
from django.core import cache

from gopher.hooks.middleware import Middleware, Outcome
from gopher.jobs.job import Job
from gopher.jobs.registry import registry


class ConnectionsMiddleware(Middleware):
    """Closes connections that are too old or broken before and after each attempt, and all before children are forked.

    So CONN_MAX_AGE means for a job what it means for a request, and a database that was restarted between two jobs
    fails neither. Connections within a transaction, such as those of a TestCase, are left alone.
    """

    def preload(self) -> None:
        """Close what was opened by imports: children that share a connection read each other's answers."""
        for connection in db.connections.all(initialized_only=True):
            connection.close()
            if hasattr(connection, "close_pool"):
                # Its threads would not survive the fork.
                connection.close_pool()
        cache.close_caches()

    def before(self, job: Job) -> None:
        self._everywhere(job, check_connections)

    def after(self, job: Job, outcome: Outcome) -> None:
        self._everywhere(job, db.close_old_connections)

    @staticmethod
    def _everywhere(job: Job, look: Callable[[], Any]) -> None:
        look()
        handler = registry.get(job.type)
        if handler is not None and inspect.iscoroutinefunction(handler.function):
            # Connections belong to threads, and a coroutine's queries run in the one that asgiref keeps for them.
            SyncToAsync.single_thread_executor.submit(look).result()


def check_connections() -> None:
    """Close connections of this thread that are too old, or that don't answer."""
    for connection in db.connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
        if connection.connection is not None and not connection.in_atomic_block and not connection.is_usable():
            connection.close()
