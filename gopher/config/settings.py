"""All settings, read from the environment once at start.

Each field of Settings is declared with its variable, its kind, its default as text, and its description. Durations
become seconds (float), sizes bytes (int).
"""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gopher.base.address import ServerAddress, masked
from gopher.base.rates import Rate
from gopher.errors import ConfigurationError

from . import kinds
from .kinds import LEAST_SECRET, ApiKey, Kind, Weights

T = TypeVar("T")

_DAY = 86400.0


class Variable(NamedTuple):
    """A row of the table of variables."""

    name: str
    kind: Kind[Any]
    #: As in the environment; empty means none.
    default: str
    meaning: str


def _setting(name: str, kind: Kind[T], default: str, meaning: str) -> T:
    """Declare a field; typed like `dataclasses.field`."""
    variable = Variable(name, kind, default, meaning)
    made: Any = field(default_factory=lambda: kind.read(default), metadata={"variable": variable})
    return made  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings of all processes. Created by `from_env()`; `replace()` returns a modified copy."""

    server_host: str = _setting(
        "SERVER_HOST", kinds.HOST, "localhost", "Address on which the API listens; 0.0.0.0 if PORT is set."
    )
    server_port: int = _setting(
        "SERVER_PORT",
        kinds.PORT,
        "8080",
        "Port of the API; 0 picks a free one. PORT, which platforms set, takes precedence.",
    )
    server_read_timeout: float = _setting(
        "SERVER_READ_TIMEOUT", kinds.duration(above=0), "10s", "Timeout for receiving a complete request."
    )
    server_write_timeout: float = _setting(
        "SERVER_WRITE_TIMEOUT",
        kinds.duration(above=0),
        "10s",
        "How long a client may read its response at less than 1 KiB/s.",
    )
    server_max_body: int = _setting(
        "SERVER_MAX_BODY", kinds.size(), "1MiB", "Maximum size of a request body; larger ones get 413."
    )
    web_concurrency: int = _setting("WEB_CONCURRENCY", kinds.integer(1, 1000), "2", "Number of API processes.")

    redis_url: str = _setting(
        "REDIS_URL",
        kinds.SERVER_URL,
        "redis://localhost:6379",
        "URL of the server: redis://, rediss://, unix://, redis+sentinel://h1:26379,h2:26379/mymaster/0 or "
        "redis+cluster://h1:7000,h2:7001.",
    )
    redis_password: str | None = _setting(
        "REDIS_PASSWORD", kinds.optional(kinds.SECRET), "", "Overrides the password in REDIS_URL."
    )
    redis_db: int | None = _setting(
        "REDIS_DB", kinds.optional(kinds.integer(0, 99999)), "", "Overrides the database in REDIS_URL (0)."
    )
    redis_timeout: float = _setting(
        "REDIS_TIMEOUT",
        kinds.duration(above=0),
        "5s",
        "Timeout of a command, after which the server is considered unavailable.",
    )
    redis_tls_verify: str = _setting(
        "REDIS_TLS_VERIFY",
        kinds.TLS_VERIFY,
        "required",
        "Verification of a rediss:// server's certificate: required, none, or the path of a CA file.",
    )
    redis_server: Path | None = _setting(
        "GOPHER_REDIS_SERVER",
        kinds.optional(kinds.FILE),
        "",
        "Path of the server program for the embedded server; by default it is searched for.",
    )

    url: str | None = _setting(
        "GOPHER_URL",
        kinds.optional(kinds.HTTP_URL),
        "",
        "URL of an API that gopherctl uses instead of REDIS_URL, such as https://gopher.example.com.",
    )
    api_key: str | None = _setting(
        "GOPHER_API_KEY",
        kinds.optional(kinds.SECRET),
        "",
        "Secret of gopherctl's key for the API at GOPHER_URL.",
    )

    worker_concurrency: int = _setting(
        "WORKER_CONCURRENCY", kinds.integer(1, 1000), "5", "Number of child processes per worker."
    )
    worker_queues: tuple[str, ...] = _setting(
        "WORKER_QUEUES", kinds.QUEUES, "default", "Queues that a worker serves, in order of preference."
    )
    worker_poll_interval: float = _setting(
        "WORKER_POLL_INTERVAL",
        kinds.duration(above=0),
        "1s",
        "Maximum time between polls of an idle worker; new jobs wake it immediately.",
    )
    worker_max_retries: int = _setting("WORKER_MAX_RETRIES", kinds.integer(0, 100), "3", "Default number of retries.")
    worker_job_timeout: float = _setting(
        "WORKER_JOB_TIMEOUT", kinds.duration(above=0, most=_DAY), "30s", "Default timeout of a job."
    )
    worker_kill_grace: float = _setting(
        "WORKER_KILL_GRACE",
        kinds.duration(),
        "5s",
        "Time between the soft timeout (an exception in the handler) and SIGKILL.",
    )
    worker_shutdown_timeout: float = _setting(
        "WORKER_SHUTDOWN_TIMEOUT", kinds.duration(), "30s", "How long running jobs may continue after SIGTERM."
    )
    worker_start_method: str = _setting(
        "WORKER_START_METHOD",
        kinds.START_METHOD,
        "fork",
        "How child processes start: fork, or spawn, which shares no memory and survives libraries with threads.",
    )
    worker_max_jobs_per_child: int = _setting(
        "WORKER_MAX_JOBS_PER_CHILD", kinds.integer(1, 10**9), "10000", "Number of jobs after which a child is replaced."
    )
    worker_max_rss_per_child: int | None = _setting(
        "WORKER_MAX_RSS_PER_CHILD",
        kinds.optional(kinds.size(2**20)),
        "",
        "Resident memory above which a child is replaced after its job.",
    )
    worker_max_memory_per_child: int | None = _setting(
        "WORKER_MAX_MEMORY_PER_CHILD",
        kinds.optional(kinds.size(2**26)),
        "",
        "Address space limit of a child; handlers that exceed it get a MemoryError.",
    )
    worker_priority_weights: Weights = _setting(
        "WORKER_PRIORITY_WEIGHTS",
        kinds.WEIGHTS,
        kinds.DEFAULT_WEIGHTS,
        "Weights of the priorities while all have waiting jobs; strict for strict order.",
    )
    worker_lease: float = _setting(
        "WORKER_LEASE",
        kinds.duration(above=0),
        "30s",
        "Time without a heartbeat after which a worker is considered lost and its jobs are requeued.",
    )
    worker_max_crashes: int = _setting(
        "WORKER_MAX_CRASHES",
        kinds.integer(1, 1000),
        "3",
        "Number of crashes after which a job becomes a dead letter (poison pill).",
    )

    handlers: tuple[str, ...] = _setting(
        "GOPHER_HANDLERS", kinds.MODULES, "gopher.handlers", "Modules to import handlers from."
    )
    namespace: str = _setting(
        "GOPHER_NAMESPACE", kinds.NAMESPACE, "gopher", "Prefix of all keys, for several installations on one server."
    )
    api_keys: tuple[ApiKey, ...] = _setting(
        "GOPHER_API_KEYS",
        kinds.or_nothing(kinds.API_KEYS),
        "",
        "API keys: name:secret[:submit|read|admin], comma-separated; the role defaults to admin.",
    )
    allow_anonymous: bool = _setting(
        "GOPHER_ALLOW_ANONYMOUS",
        kinds.BOOLEAN,
        "0",
        "1 allows the API to accept other machines' requests without API keys: anyone who reaches it has full access.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "GOPHER_ALLOWED_HOSTS",
        kinds.or_nothing(kinds.ALLOWED_HOSTS),
        "",
        "Host names of the API, such as gopher.internal or .example.com; * for any. Without API keys, requests for "
        "other hosts are rejected.",
    )
    api_rate: Rate | None = _setting(
        "GOPHER_API_RATE", kinds.RATE, "off", "Rate limit of each client, such as 100/s; requests above it get 429."
    )
    cors_origins: tuple[str, ...] = _setting(
        "GOPHER_CORS_ORIGINS", kinds.or_nothing(kinds.ORIGINS), "", "Origins whose pages may call the API (CORS)."
    )
    result_ttl: float = _setting(
        "GOPHER_RESULT_TTL", kinds.duration(), "1h", "How long finished jobs are kept (per job: retention)."
    )
    dead_ttl: float = _setting("GOPHER_DEAD_TTL", kinds.duration(above=0), "30d", "How long dead letters are kept.")
    dead_max: int = _setting("GOPHER_DEAD_MAX", kinds.integer(1, 10**9), "100000", "Maximum number of dead letters.")

    max_queues: int = _setting(
        "GOPHER_MAX_QUEUES",
        kinds.integer(1, 100_000),
        "1000",
        "Maximum number of queues; jobs for further queues are rejected, unless a worker serves them.",
    )

    health_file: Path | None = _setting(
        "GOPHER_HEALTH_FILE",
        kinds.optional(kinds.FILE),
        "",
        "File that a worker or scheduler touches while it is alive, for `gopherctl health --worker`.",
    )

    log_level: str = _setting("LOG_LEVEL", kinds.LOG_LEVEL, "info", "Minimum level of log messages.")
    log_format: str = _setting(
        "LOG_FORMAT", kinds.LOG_FORMAT, "console", "Log format: console for people, json for production."
    )
    otel_exporter_otlp_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        kinds.optional(kinds.HTTP_URL),
        "",
        "OTLP endpoint of traces; tracing is off without it. Other standard OTEL_* variables apply, too.",
    )

    smtp_url: str = _setting("SMTP_URL", kinds.SMTP_URL, "smtp://localhost:25", "Mail server of the email handler.")
    files: Path = _setting(
        "GOPHER_FILES",
        kinds.FOLDER,
        "./files",
        "Folder for files written by handlers, and for file: sources of images.",
    )
    fetch_allow: tuple[str, ...] = _setting(
        "GOPHER_FETCH_ALLOW",
        kinds.or_nothing(kinds.HOST_PORTS),
        "",
        "host:port pairs with private addresses that handlers may fetch from, for an intranet or tests.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings. An empty variable counts as unset.

        Raises ConfigurationError with every invalid variable, its value and what is expected.
        """
        texts = _with_port({name: text.strip() for name, text in (os.environ if environ is None else environ).items()})
        problems: dict[str, str] = {}
        read = dict(_read_fields(cls, texts, problems))
        settings = cls(**read)
        # Invalid variables have their defaults here, and are not checked for conflicts.
        conflicts = [text for names, text in _conflicts(settings) if not problems.keys() & names]
        if problems or conflicts:
            lines = "".join(f"\n  {text}" for text in [*problems.values(), *conflicts])
            raise ConfigurationError(f"invalid settings:{lines}")
        return replace(settings, redis_url=settings.server_address.url)

    @classmethod
    def variables(cls) -> tuple[Variable, ...]:
        """Return the table of variables, in the order of the fields, without `PORT`, which is an alias."""
        return tuple(each.metadata["variable"] for each in fields(cls))

    @property
    def server_address(self) -> ServerAddress:
        """The server's address, with REDIS_PASSWORD and REDIS_DB applied, as in `redis_url`."""
        address = ServerAddress.parse(self.redis_url)
        if self.redis_password is not None:
            address = replace(address, password=self.redis_password)
        return address if self.redis_db is None else replace(address, db=self.redis_db)

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether the API is reachable from other machines."""
        if self.server_host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.server_host).is_loopback
        except ValueError:
            return True

    def check_listener(self) -> None:
        """Raise ConfigurationError if the API would be reachable from other machines without keys, or with weak ones.

        Checked when the API starts.
        """
        if not self.listens_beyond_loopback:
            return
        if short := [number for number, key in enumerate(self.api_keys, 1) if key.short]:
            raise ConfigurationError(
                f"refusing to listen on {self.server_host}: GOPHER_API_KEYS has secrets of fewer than {LEAST_SECRET} "
                f"characters (key {', '.join(map(str, short))} of {len(self.api_keys)}). Use longer ones, for example "
                "with `openssl rand -hex 32`, or set SERVER_HOST=localhost."
            )
        if not self.api_keys and not self.allow_anonymous:
            raise ConfigurationError(
                f"refusing to listen on {self.server_host}: without GOPHER_API_KEYS anyone who reaches it could submit "
                "and delete jobs. Set GOPHER_API_KEYS=name:secret, or SERVER_HOST=localhost, or, behind an "
                "authenticating proxy, GOPHER_ALLOW_ANONYMOUS=1."
            )

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name}={_shown(each.name, getattr(self, each.name))}" for each in fields(self))
        return f"Settings({shown})"


def _with_port(texts: dict[str, str]) -> dict[str, str]:
    """Apply PORT: it replaces SERVER_PORT, and a platform that sets it expects the API to listen on all addresses."""
    if not texts.get("PORT"):
        return texts
    return {**texts, "SERVER_PORT": texts["PORT"], "SERVER_HOST": texts.get("SERVER_HOST") or "0.0.0.0"}  # noqa: S104


def _read_fields(cls: type[Settings], texts: Mapping[str, str], problems: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield (field, value) of each variable that is set; add an entry to `problems` for each invalid one."""
    for each in fields(cls):
        variable: Variable = each.metadata["variable"]
        text = texts.get(variable.name)
        if not text:
            continue
        try:
            yield each.name, variable.kind.read(text)
        except ValueError as error:
            name = "PORT" if variable.name == "SERVER_PORT" and texts.get("PORT") else variable.name
            problems[variable.name] = _problem(name, text, variable.kind, str(error))


def _problem(name: str, text: str, kind: Kind[Any], reason: str) -> str:
    # Our own messages start with "expected"; others (of int, urlsplit) are less specific and may repeat a password.
    expected = reason if reason.startswith("expected ") and "\n" not in reason else f"expected {kind.expected}"
    shown = "(not shown)" if kind.secret else repr(masked(text))
    return f"{name}={shown}: {expected}"


def _conflicts(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Yield the variables and a message for each conflict between settings."""
    lease, poll, scheme = settings.worker_lease, settings.worker_poll_interval, settings.server_address.scheme
    if lease < 3 * poll:
        names = {"WORKER_LEASE", "WORKER_POLL_INTERVAL"}
        yield names, f"WORKER_LEASE ({lease:g}s) must be at least three times WORKER_POLL_INTERVAL ({poll:g}s)"
    if scheme == "redis+cluster" and settings.redis_db:
        names = {"REDIS_URL", "REDIS_DB"}
        yield names, f"REDIS_DB={settings.redis_db}: expected 0, the only database of a redis+cluster://"
    if scheme != "rediss" and settings.redis_tls_verify not in ("required", "none"):
        names = {"REDIS_URL", "REDIS_TLS_VERIFY"}
        yield names, f"REDIS_TLS_VERIFY is a CA file, but REDIS_URL is {scheme}://; use rediss:// for TLS"


def _shown(name: str, value: object) -> str:
    if name in ("redis_password", "api_key"):
        return "None" if value is None else "'***'"
    return repr(masked(value)) if isinstance(value, str) else repr(value)
