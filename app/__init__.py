"""The HTTP API: jobs, queues, schedules and dead letters; probes, metrics and the dashboard."""

from typing import TYPE_CHECKING

from gopher.config.settings import Settings

if TYPE_CHECKING:
    from flask import Flask


def create_app(settings: Settings | None = None) -> "Flask":
    """Create the WSGI application. It connects to the server with the first request of a process, not here."""
    from gopher.jobs.loading import load_handlers

    from . import (
        access,
        answers,
        audit,
        cors,
        dashboard,
        dead_letters,
        deprecated,
        docs,
        failures,
        flow,
        health,
        index,
        jobs,
        metrics,
        openapi,
        queues,
        requests,
        schedules,
        timeline,
        tracing,
        workers,
    )
    from .application import Application
    from .context import Context

    settings = settings or Settings.from_env()
    app = Application(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.server_max_body
    app.url_map.strict_slashes = False
    app.extensions["gopher"] = Context(settings, load_handlers(settings.handlers))

    tracing.install(app)
    requests.install(app, settings)
    cors.install(app, settings)
    access.install(app, settings)
    audit.install(app)
    answers.install(app)
    for part in (jobs, queues, flow, schedules, dead_letters, workers, timeline, health, metrics, index, openapi, docs):
        app.register_blueprint(part.blueprint)
    deprecated.install(app)
    dashboard.install(app)
    track = metrics.install(app)
    failures.install(app, track)
    return app


def run(settings: Settings) -> int:
    """Replace this process by gunicorn, which serves the API; does not return.

    Raises ConfigurationError if it would accept other machines' requests without API keys.
    """
    import os
    import sys

    settings.check_listener()
    # -P: a folder `gopher` in the working directory must not shadow the package.
    command = [sys.executable, "-P", "-m", "gunicorn", "--config", "python:gopher.app.gunicorn_conf"]
    os.execv(sys.executable, [*command, "gopher.app.wsgi:app"])  # noqa: S606 - our own Python, no shell
