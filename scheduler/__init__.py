"""The scheduler: lets jobs go when their time has come, rescues those of dead workers, prunes old records."""

from typing import TYPE_CHECKING

from gopher.settings import Settings

if TYPE_CHECKING:
    from gopher.registry import Registry
    from gopher.server import Server


def _declare_schedules(server: "Server", registry: "Registry") -> None:
    from gopher.errors import ServerError
    from gopher.logs import get_logger
    from gopher.schedules import Schedules

    try:
        Schedules(server, registry).declare(registry)
    except ServerError as error:
        log = get_logger("scheduler")
        log.warning("the handlers' own schedules could not be made: restart when the server is back", error=str(error))


def run(settings: Settings) -> int:
    """Run a scheduler until it is told to stop; return its exit code."""
    from gopher import logs, tracing
    from gopher.registry import load_handlers
    from gopher.server import Server
    from gopher.startup import check_server

    from .loop import Scheduler

    logs.configure(settings)
    registry = load_handlers(settings.handlers)
    with Server(settings, connections=1) as server:
        check_server(server)
        _declare_schedules(server, registry)
    tracing.start("gopher-scheduler")
    try:
        return Scheduler(settings).run()
    finally:
        tracing.stop()
