"""Gopher in a Flask application: `Gopher(app)`, or `gopher.init_app(app)` in a factory. See docs/frameworks.md."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import click
from flask import Flask, current_app
from flask.cli import ScriptInfo, pass_script_info

from gopher.client import Client
from gopher.errors import ConfigurationError
from gopher.integrations.project import Project, submit_tasks_by
from gopher.jobs.submission import SubmitOptions

from .context import AppContextMiddleware

__all__ = ["AppContextMiddleware", "Gopher"]

#: Gives each job an application context, in a process that is started by `flask gopher worker`.
_LOADER = "gopher.integrations.flask.handlers"


class Gopher:
    """The extension. Settings are in `app.config["GOPHER"]`, a dict by the names of the variables:
    `{"REDIS_URL": "redis://...", "HANDLERS": ["shop.jobs"]}`. `flask gopher ...` is `gopherctl ...` with them.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        app.config.setdefault("GOPHER", {})
        app.extensions["gopher"] = project = Project(lambda: _settings_of(app))
        submit_tasks_by(lambda: project.client)
        app.cli.add_command(_gopher)

    @property
    def client(self) -> Client:
        """The client of the current application, one for each process."""
        return _project().client

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job and return its id, as `Client.enqueue` does."""
        return self.client.enqueue(job_type, payload, **options)

    @contextmanager
    def replaced_by(self, client: Client) -> Iterator[Client]:
        """Use another client of the current application within the block, such as a test's EagerClient."""
        with _project().replaced_by(client):
            yield client


def _settings_of(app: Flask) -> tuple[Mapping[str, Any], Sequence[str]]:
    own = dict(app.config["GOPHER"])
    modules = own.pop("HANDLERS", None) or own.pop("GOPHER_HANDLERS", None) or os.environ.get("GOPHER_HANDLERS", "")
    listed = modules.split(",") if isinstance(modules, str) else list(modules)
    return own, [name.strip() for name in listed if name.strip() not in ("", _LOADER)]


def _project() -> Project:
    project: Project | None = current_app.extensions.get("gopher")
    if project is None:
        raise ConfigurationError("this Flask application has no Gopher: call Gopher().init_app(app) in its factory")
    return project


@click.command(
    "gopher",
    short_help="Run Gopher: worker, scheduler, submit, ...",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_script_info
def _gopher(info: ScriptInfo, arguments: tuple[str, ...]) -> None:
    """Run `gopherctl ARGUMENTS` with the settings and the handlers of this application."""
    project: Project = info.load_app().extensions["gopher"]
    try:
        variables = {"GOPHER_HANDLERS": ",".join([_LOADER, *_handlers(project)])}
        if info.app_import_path:
            variables["FLASK_APP"] = info.app_import_path
        sys.exit(project.gopherctl(arguments or ("--help",), **variables))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error


def _handlers(project: Project) -> Sequence[str]:
    return [name for name in project.environment["GOPHER_HANDLERS"].split(",") if name]
