"""The HTTP API: jobs, queues, schedules and dead letters; probes, metrics and the dashboard."""

from typing import TYPE_CHECKING

from gopher.base import own_process
from gopher.base.installed import require
from gopher.config.settings import Settings

if TYPE_CHECKING:
    from flask import Flask


def create_app(settings: Settings | None = None) -> "Flask":
    """Create the WSGI application. It connects to the server with the first request of a process, not here."""
    require("web", "the HTTP API")
    from .factory import create

    return create(settings or Settings.from_env())


def run(settings: Settings) -> int:
    """Replace this process by gunicorn, which serves the API; does not return.

    Raises ConfigurationError if it would accept other machines' requests without API keys, or the server is unusable.
    """
    own_process.begin()
    import os
    import sys

    from gopher.base.first_process import keep_sigterm
    from gopher.queue.preflight import check_server
    from gopher.queue.store import Server
    from gopher.telemetry import logs

    require("web", "the HTTP API")
    settings.check_listener()
    keep_sigterm()
    logs.configure(settings)
    with Server(settings, connections=1) as server:
        check_server(server)
    # -P: a folder `gopher` in the working directory must not shadow the package.
    command = [sys.executable, "-P", "-m", "gunicorn", "--config", "python:gopher.app.gunicorn_conf"]
    os.execv(sys.executable, [*command, "gopher.app.wsgi:app"])  # noqa: S606 - our own Python, no shell
