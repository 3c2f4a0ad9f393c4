"""Tells systemd about the API: by gunicorn's arbiter, whose loop replaces processes that hang.

gunicorn itself says that it is ready before any process serves, and has no watchdog.
"""

import time
from typing import Any

from gopher.telemetry.service_manager import ServiceManager

from .reloads import serves


def install(arbiter: Any, service: ServiceManager) -> None:
    look, stop = arbiter.murder_workers, arbiter.stop

    def look_and_tell() -> None:
        look()
        service.tell(time.monotonic(), is_ready=any(serves(worker) for worker in arbiter.WORKERS.values()))

    def tell_and_stop(*arguments: Any) -> None:
        service.stopping()
        stop(*arguments)

    arbiter.murder_workers, arbiter.stop = look_and_tell, tell_and_stop
