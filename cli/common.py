"""What commands share: common options, clients, and the handlers of this installation."""

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gopher.base.durations import EXPECTED, parse_duration
from gopher.config.environment import given, override
from gopher.errors import ConfigurationError, GopherError

from .output import Output

# The client is imported on use: it takes ten times as long as everything that `health --worker` needs.
if TYPE_CHECKING:
    from gopher.api_client.client import HttpClient
    from gopher.client import Client
    from gopher.config.settings import Settings
    from gopher.interface import Gopher
    from gopher.jobs.registry import Registry

#: Default number of rows of a list.
ROWS = 20

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(variable: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that sets an option's value as an environment variable.

    So an option means the same as its variable, is validated the same way, and reaches the handlers in children.
    """

    def put(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            override(os.environ, variable, str(value))

    return put


def common(command: Command) -> Command:
    """Add --redis-url and --json; the command gets an `Output` as `out`."""
    for option in (_JSON, _REDIS_URL):
        command = option(command)
    return command


def _put_redis_url(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    setting("REDIS_URL")(context, parameter, value)
    if value is not None:
        context.find_root().meta[_GIVEN] = True


_REDIS_URL = click.option(
    "--redis-url",
    metavar="URL",
    expose_value=False,
    callback=_put_redis_url,
    help="Server URL.  [default: REDIS_URL, or redis://localhost:6379]",
)
_JSON = click.option(
    "--json",
    "out",
    is_flag=True,
    callback=lambda context, parameter, value: Output(value),
    help="Print JSON to stdout; messages go to stderr.",
)


def _settings() -> "Settings":
    from gopher.config.settings import Settings

    return Settings.from_env()


def client() -> "Gopher":
    """Return a client for existing jobs; use it in a `with`."""
    return _over_http() or _redis_client(None)


def looking_client() -> "Gopher":
    """Return a client that fills in handlers' defaults, if the handlers can be loaded here."""
    if gopher := _over_http():
        return gopher
    try:
        return _redis_client(load_registry(_settings()))
    except ConfigurationError:
        return _redis_client(None)


def checking_client() -> "Gopher":
    """Return a client that validates types and payloads: with the handlers here, or with the API's over HTTP."""
    return _over_http() or _redis_client(load_registry(_settings()))


def server_client() -> "Client":
    """Return a client of the server itself. Raises UsageError if only GOPHER_URL is configured."""
    if over_http():
        raise click.UsageError(f"{_SERVER_ONLY}.")
    return _redis_client(None)


def over_http() -> bool:
    """Return whether commands use the API: GOPHER_URL is set, and --redis-url is not."""
    given = click.get_current_context().find_root().meta.get(_GIVEN, False)
    return _settings().url is not None and not given


def needs_server() -> None:
    """Raise UsageError if GOPHER_URL is configured, but no server."""
    if over_http() and not given(os.environ, "REDIS_URL"):
        raise click.UsageError(f"{_SERVER_ONLY}; set REDIS_URL if the server is not on this machine.")


_SERVER_ONLY = "this command needs the server itself and can't use the API: unset GOPHER_URL, or use --redis-url"
_GIVEN = "gopher.redis_url"


def _over_http() -> "HttpClient | None":
    if not over_http():
        return None
    from gopher.api_client.client import HttpClient

    return HttpClient()


def _redis_client(registry: "Registry | None") -> "Client":
    from gopher.admin.audit import acting, user
    from gopher.client import Client
    from gopher.telemetry import tracing

    tracing.take_up("gopherctl")
    context = click.get_current_context()
    context.call_on_close(tracing.stop)
    context.with_resource(acting(partial(user, "cli")))
    return Client(settings=_settings(), registry=registry, connections=2)


def load_registry(settings: "Settings") -> "Registry":
    """Return the handlers of GOPHER_HANDLERS. Raises ConfigurationError if a module can't be imported."""
    from gopher.jobs.loading import load_handlers

    return load_handlers(settings.handlers)


def known_types(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the job types that start with the incomplete word, for shell completion."""
    try:
        with context, checking_client() as gopher:
            return [view.name for view in gopher.types() if view.name.startswith(incomplete)]
    except GopherError:
        return []


# The class is not generic before click 8.5.
if TYPE_CHECKING:
    _OfSeconds = click.ParamType[float]
else:
    _OfSeconds = click.ParamType


class Duration(_OfSeconds):
    """A duration such as `10s`, converted to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(f"{value!r}: expected {EXPECTED}", param, ctx)


DURATION = Duration()
