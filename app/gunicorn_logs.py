"""gunicorn's log lines among ours, in the same format."""

from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]


class Logger(GunicornLogger):  # type: ignore[misc]
    """Hands everything to the root logger, which `gopher.telemetry.logs` has set up. Requests are logged by the app."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.access_log.handlers.clear()

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        pass
