"""Health, logs and traces."""

from pathlib import Path

from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class TelemetrySettings:
    """Health, logs and traces."""

    health_file: Path | None = setting(
        "GOPHER_HEALTH_FILE",
        kinds.optional(kinds.FILE),
        "",
        "File that a worker or scheduler touches while it is alive, for `gopherctl health --worker`.",
    )
    logging: str = setting(
        "GOPHER_LOGGING",
        kinds.choice("on", "off"),
        "on",
        "off leaves Python's logging to the handlers' modules: lines of Gopher go to its loggers gopher.*, and Gopher "
        "configures none.",
    )
    log_level: str = setting("LOG_LEVEL", kinds.LOG_LEVEL, "info", "Minimum level of log messages.")
    log_format: str = setting(
        "LOG_FORMAT", kinds.LOG_FORMAT, "console", "Log format: console for people, json for production."
    )
    otel_exporter_otlp_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        kinds.optional(kinds.HTTP_URL),
        "",
        "OTLP endpoint of traces; tracing is off without it. Other standard OTEL_* variables apply, too.",
    )
