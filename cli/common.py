"""What the commands share: their two common options, the client, and the handlers known here."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gopher import tracing
from gopher.client import Client
from gopher.durations import EXPECTED, parse_duration
from gopher.errors import ConfigurationError
from gopher.registry import Registry, load_handlers
from gopher.settings import Settings

from .output import Output

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(variable: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that puts an option's value into the environment.

    So an option means what its variable means, is checked as that is, and reaches the handlers in the children.
    """

    def put(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            os.environ[variable] = str(value)

    return put


def common(command: Command) -> Command:
    """Add --redis-url and --json; the command gets an `Output` as `out`."""
    for option in (_JSON, _REDIS_URL):
        command = option(command)
    return command


_REDIS_URL = click.option(
    "--redis-url",
    metavar="URL",
    expose_value=False,
    callback=setting("REDIS_URL"),
    help="The server; else REDIS_URL, else redis://localhost:6379.",
)
_JSON = click.option(
    "--json",
    "out",
    is_flag=True,
    callback=lambda context, parameter, value: Output(value),
    help="Answer in JSON on stdout; messages go to stderr.",
)


def client(registry: Registry | None = None) -> Client:
    """Return a client with the settings of the environment; use it in a `with`."""
    tracing.take_up("gopherctl")
    click.get_current_context().call_on_close(tracing.stop)
    return Client(settings=Settings.from_env(), registry=registry, connections=2)


def looking_client() -> Client:
    """Return a client that shows jobs with their handlers' defaults, if the handlers can be loaded here."""
    settings = Settings.from_env()
    try:
        registry = load_registry(settings)
    except ConfigurationError:
        registry = Registry()
    return Client(settings=settings, registry=registry, connections=2)


def load_registry(settings: Settings) -> Registry:
    """Return the handlers of GOPHER_HANDLERS. Raises ConfigurationError when a module can't be imported."""
    try:
        return load_handlers(settings.handlers)
    except ImportError as error:
        raise ConfigurationError(
            f"GOPHER_HANDLERS={','.join(settings.handlers)}: can't import it ({error}). "
            "Name modules that Python finds: installed ones, or those in this folder."
        ) from error


class Duration(click.ParamType[float]):
    """A duration such as `10s`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(f"{value!r}: expected {EXPECTED}", param, ctx)


DURATION = Duration()
