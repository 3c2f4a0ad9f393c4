"""An application context for each job."""

from flask import Flask
from flask.ctx import AppContext

from gopher.hooks.middleware import Middleware, Outcome
from gopher.jobs.job import Job


class AppContextMiddleware(Middleware):
    """Runs each attempt in an application context of its own, so that `current_app`, `g` and extensions work.

    What an extension does at the end of a context, it does at the end of each attempt: Flask-SQLAlchemy removes its
    session, which rolls back what was not committed.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: By the id of the job: an eager client runs one within another.
        self._contexts: dict[str, AppContext] = {}

    def before(self, job: Job) -> None:
        context = self._app.app_context()
        context.push()
        self._contexts[job.id] = context

    def after(self, job: Job, outcome: Outcome) -> None:
        context = self._contexts.pop(job.id, None)
        if context is not None:
            context.pop(outcome.error)

    def preload(self) -> None:
        """Drop the connections of Flask-SQLAlchemy: children must not share them."""
        extension = self._app.extensions.get("sqlalchemy")
        with self._app.app_context():
            for engine in getattr(extension, "engines", {}).values():
                engine.dispose()
