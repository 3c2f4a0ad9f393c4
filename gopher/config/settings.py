"""Everything that can be set, read from the environment once, at start.

Each field of Settings is declared with its variable, its kind, its default as one would write it in the
environment, and its meaning. Durations become seconds (float), sizes bytes (int).
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
    """One row of the table of variables."""

    name: str
    kind: Kind[Any]
    #: As written in the environment; empty is "none".
    default: str
    meaning: str


def _setting(name: str, kind: Kind[T], default: str, meaning: str) -> T:
    """Declare a field; typed as what it will hold, as `dataclasses.field` is."""
    variable = Variable(name, kind, default, meaning)
    made: Any = field(default_factory=lambda: kind.read(default), metadata={"variable": variable})
    return made  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings of every process. Make them with `from_env()`; `replace()` gives a changed copy."""

    server_host: str = _setting(
        "SERVER_HOST", kinds.HOST, "localhost", "Where the API listens; 0.0.0.0 when PORT is set."
    )
    server_port: int = _setting(
        "SERVER_PORT", kinds.PORT, "8080", "The API's port; 0 takes a free one. PORT, as platforms set it, wins."
    )
    server_read_timeout: float = _setting(
        "SERVER_READ_TIMEOUT", kinds.duration(above=0), "10s", "How long a client may take to send its whole request."
    )
    server_write_timeout: float = _setting(
        "SERVER_WRITE_TIMEOUT",
        kinds.duration(above=0),
        "10s",
        "How long a client may read less than 1 KiB/s of its answer.",
    )
    server_max_body: int = _setting(
        "SERVER_MAX_BODY", kinds.size(), "1MiB", "Larger request bodies are refused with 413."
    )
    web_concurrency: int = _setting("WEB_CONCURRENCY", kinds.integer(1, 1000), "2", "Processes of the API.")

    redis_url: str = _setting(
        "REDIS_URL",
        kinds.SERVER_URL,
        "redis://localhost:6379",
        "The server: redis://, rediss://, unix://, redis+sentinel://h1:26379,h2:26379/mymaster/0 or "
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
        "How long one command may take until the server counts as away.",
    )
    redis_tls_verify: str = _setting(
        "REDIS_TLS_VERIFY",
        kinds.TLS_VERIFY,
        "required",
        "How a rediss:// server's certificate is checked: required, none, or the path of a CA file.",
    )
    redis_server: Path | None = _setting(
        "GOPHER_REDIS_SERVER",
        kinds.optional(kinds.FILE),
        "",
        "The server program that is started when REDIS_URL is not set; else it is looked for.",
    )

    url: str | None = _setting(
        "GOPHER_URL",
        kinds.optional(kinds.HTTP_URL),
        "",
        "gopherctl works over the API at this address, such as https://gopher.example.com, instead of REDIS_URL.",
    )
    api_key: str | None = _setting(
        "GOPHER_API_KEY",
        kinds.optional(kinds.SECRET),
        "",
        "The secret that gopherctl shows the API at GOPHER_URL.",
    )

    worker_concurrency: int = _setting(
        "WORKER_CONCURRENCY", kinds.integer(1, 1000), "5", "Child processes of one worker."
    )
    worker_queues: tuple[str, ...] = _setting(
        "WORKER_QUEUES", kinds.QUEUES, "default", "Queues that a worker serves, in this order of preference."
    )
    worker_poll_interval: float = _setting(
        "WORKER_POLL_INTERVAL",
        kinds.duration(above=0),
        "1s",
        "Longest sleep of an idle worker before it looks again by itself; a new job wakes it at once.",
    )
    worker_max_retries: int = _setting(
        "WORKER_MAX_RETRIES", kinds.integer(0, 100), "3", "Retries of a job that does not say."
    )
    worker_job_timeout: float = _setting(
        "WORKER_JOB_TIMEOUT", kinds.duration(above=0, most=_DAY), "30s", "Timeout of a job that does not say."
    )
    worker_kill_grace: float = _setting(
        "WORKER_KILL_GRACE",
        kinds.duration(),
        "5s",
        "Time between the soft timeout (an exception in the handler) and SIGKILL.",
    )
    worker_shutdown_timeout: float = _setting(
        "WORKER_SHUTDOWN_TIMEOUT", kinds.duration(), "30s", "How long running jobs may finish after SIGTERM."
    )
    worker_max_jobs_per_child: int = _setting(
        "WORKER_MAX_JOBS_PER_CHILD", kinds.integer(1, 10**9), "10000", "A child is replaced after so many jobs."
    )
    worker_max_rss_per_child: int | None = _setting(
        "WORKER_MAX_RSS_PER_CHILD",
        kinds.optional(kinds.size(2**20)),
        "",
        "A child is replaced after the job that left it with more resident memory than this.",
    )
    worker_max_memory_per_child: int | None = _setting(
        "WORKER_MAX_MEMORY_PER_CHILD",
        kinds.optional(kinds.size(2**26)),
        "",
        "Address space of a child: a handler that wants more gets a MemoryError.",
    )
    worker_priority_weights: Weights = _setting(
        "WORKER_PRIORITY_WEIGHTS",
        kinds.WEIGHTS,
        kinds.DEFAULT_WEIGHTS,
        "Share of each priority when all are waiting; strict for strict order.",
    )
    worker_lease: float = _setting(
        "WORKER_LEASE", kinds.duration(above=0), "30s", "A worker not heard of for so long is dead; its jobs go back."
    )
    worker_max_crashes: int = _setting(
        "WORKER_MAX_CRASHES",
        kinds.integer(1, 1000),
        "3",
        "A job whose child died so often is dead-lettered as a poison pill.",
    )

    handlers: tuple[str, ...] = _setting(
        "GOPHER_HANDLERS", kinds.MODULES, "gopher.handlers", "Modules whose handlers are registered."
    )
    namespace: str = _setting(
        "GOPHER_NAMESPACE", kinds.NAMESPACE, "gopher", "Prefix of every key: several installations on one server."
    )
    api_keys: tuple[ApiKey, ...] = _setting(
        "GOPHER_API_KEYS",
        kinds.or_nothing(kinds.API_KEYS),
        "",
        "Who may call the API: name:secret[:submit|read|admin], comma-separated; admin when no role is said.",
    )
    allow_anonymous: bool = _setting(
        "GOPHER_ALLOW_ANONYMOUS",
        kinds.BOOLEAN,
        "0",
        "1 lets the API listen beyond this machine without API keys: anyone who reaches it may do anything.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "GOPHER_ALLOWED_HOSTS",
        kinds.or_nothing(kinds.ALLOWED_HOSTS),
        "",
        "Host names by which the API is called, such as gopher.internal or .example.com; * for any. Without API keys "
        "others are refused.",
    )
    api_rate: Rate | None = _setting(
        "GOPHER_API_RATE", kinds.RATE, "off", "Requests of one client, such as 100/s; more are answered with 429."
    )
    cors_origins: tuple[str, ...] = _setting(
        "GOPHER_CORS_ORIGINS", kinds.or_nothing(kinds.ORIGINS), "", "Origins whose pages may call the API."
    )
    result_ttl: float = _setting(
        "GOPHER_RESULT_TTL", kinds.duration(), "1h", "How long a finished job's record is kept (per job: retention)."
    )
    dead_ttl: float = _setting("GOPHER_DEAD_TTL", kinds.duration(above=0), "30d", "How long dead letters are kept.")
    dead_max: int = _setting("GOPHER_DEAD_MAX", kinds.integer(1, 10**9), "100000", "How many dead letters are kept.")

    max_queues: int = _setting(
        "GOPHER_MAX_QUEUES",
        kinds.integer(1, 100_000),
        "1000",
        "How many queues there may be; a job for one more is refused, unless a worker serves that queue.",
    )

    health_file: Path | None = _setting(
        "GOPHER_HEALTH_FILE",
        kinds.optional(kinds.FILE),
        "",
        "A file that a worker or a scheduler keeps fresh while it lives, for `gopherctl health --worker`.",
    )

    log_level: str = _setting("LOG_LEVEL", kinds.LOG_LEVEL, "info", "Least severe level that is logged.")
    log_format: str = _setting("LOG_FORMAT", kinds.LOG_FORMAT, "console", "console for people, json for production.")
    otel_exporter_otlp_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        kinds.optional(kinds.HTTP_URL),
        "",
        "Where traces go; without it tracing is off. The other standard OTEL_* variables count as well.",
    )

    smtp_url: str = _setting(
        "SMTP_URL", kinds.SMTP_URL, "smtp://localhost:25", "The mail server of the e-mail handler."
    )
    files: Path = _setting(
        "GOPHER_FILES",
        kinds.FOLDER,
        "./files",
        "The image handler writes here, and reads file: sources below it only.",
    )
    fetch_allow: tuple[str, ...] = _setting(
        "GOPHER_FETCH_ALLOW",
        kinds.or_nothing(kinds.HOST_PORTS),
        "",
        "host:port pairs that handlers may fetch from although the address is private: for an intranet or a test.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings. An empty variable counts as not set.

        Raises ConfigurationError that names every variable that can't be read, its value and what is expected.
        """
        texts = _with_port({name: text.strip() for name, text in (os.environ if environ is None else environ).items()})
        problems: dict[str, str] = {}
        read = dict(_read_fields(cls, texts, problems))
        settings = cls(**read)
        # A variable that can't be read stands at its default here: of that one, no conflict is known.
        conflicts = [text for names, text in _conflicts(settings) if not problems.keys() & names]
        if problems or conflicts:
            lines = "".join(f"\n  {text}" for text in [*problems.values(), *conflicts])
            raise ConfigurationError(f"settings that can't be used:{lines}")
        return replace(settings, redis_url=settings.server_address.url)

    @classmethod
    def variables(cls) -> tuple[Variable, ...]:
        """Return the table of variables, in the order of the fields. (`PORT` is not in it: a second name.)"""
        return tuple(each.metadata["variable"] for each in fields(cls))

    @property
    def server_address(self) -> ServerAddress:
        """The server, with REDIS_PASSWORD and REDIS_DB applied. `from_env` has put them into `redis_url` too."""
        address = ServerAddress.parse(self.redis_url)
        if self.redis_password is not None:
            address = replace(address, password=self.redis_password)
        return address if self.redis_db is None else replace(address, db=self.redis_db)

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether somebody on another machine could reach the API."""
        if self.server_host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.server_host).is_loopback
        except ValueError:
            return True

    def check_listener(self) -> None:
        """Raise ConfigurationError if the API would serve other machines without keys, or with ones easily guessed.

        For the API's start only.
        """
        if not self.listens_beyond_loopback:
            return
        if short := [number for number, key in enumerate(self.api_keys, 1) if key.short]:
            raise ConfigurationError(
                f"refusing to listen on {self.server_host}: GOPHER_API_KEYS has secrets of fewer than {LEAST_SECRET} "
                f"characters (key {', '.join(map(str, short))} of {len(self.api_keys)}). Make longer ones, for example "
                "with `openssl rand -hex 32`, or set SERVER_HOST=localhost."
            )
        if not self.api_keys and not self.allow_anonymous:
            raise ConfigurationError(
                f"refusing to listen on {self.server_host}: without GOPHER_API_KEYS anyone who reaches it could submit "
                "and delete jobs. Set GOPHER_API_KEYS=name:secret, or SERVER_HOST=localhost, or, behind a proxy that "
                "checks who calls, GOPHER_ALLOW_ANONYMOUS=1."
            )

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name}={_shown(each.name, getattr(self, each.name))}" for each in fields(self))
        return f"Settings({shown})"


def _with_port(texts: dict[str, str]) -> dict[str, str]:
    """Apply PORT: it replaces SERVER_PORT, and a platform that sets it expects to reach us from outside."""
    if not texts.get("PORT"):
        return texts
    return {**texts, "SERVER_PORT": texts["PORT"], "SERVER_HOST": texts.get("SERVER_HOST") or "0.0.0.0"}  # noqa: S104


def _read_fields(cls: type[Settings], texts: Mapping[str, str], problems: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield (field, value) of each variable that is set; put a line into `problems` for each that can't be read."""
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
    # A reason of our own begins with "expected"; others (int's, urlsplit's) say less than the kind, and may repeat
    # a password.
    expected = reason if reason.startswith("expected ") and "\n" not in reason else f"expected {kind.expected}"
    shown = "(not shown)" if kind.secret else repr(masked(text))
    return f"{name}={shown}: {expected}"


def _conflicts(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Yield the variables, and a line, for each two settings that do not go together."""
    lease, poll, scheme = settings.worker_lease, settings.worker_poll_interval, settings.server_address.scheme
    if lease < 3 * poll:
        names = {"WORKER_LEASE", "WORKER_POLL_INTERVAL"}
        yield names, f"WORKER_LEASE ({lease:g}s) must be at least three times WORKER_POLL_INTERVAL ({poll:g}s)"
    if scheme == "redis+cluster" and settings.redis_db:
        names = {"REDIS_URL", "REDIS_DB"}
        yield names, f"REDIS_DB={settings.redis_db}: expected 0, a redis+cluster:// has no other database"
    if scheme != "rediss" and settings.redis_tls_verify not in ("required", "none"):
        names = {"REDIS_URL", "REDIS_TLS_VERIFY"}
        yield names, f"REDIS_TLS_VERIFY names a CA file, but REDIS_URL is {scheme}://; use rediss:// for TLS"


def _shown(name: str, value: object) -> str:
    if name in ("redis_password", "api_key"):
        return "None" if value is None else "'***'"
    return repr(masked(value)) if isinstance(value, str) else repr(value)
