"""Logs gunicorn's messages in our format."""

from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]


class Logger(GunicornLogger):  # type: ignore[misc]
    """Passes everything to the root logger, set up by `gopher.telemetry.logs`. Requests are logged by the app."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.access_log.handlers.clear()

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        pass
