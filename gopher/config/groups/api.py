"""The API: its address, keys, sessions and limits of requests."""

from gopher.base.rates import Rate
from gopher.config import kinds
from gopher.config.key_kinds import API_KEYS, ApiKey
from gopher.config.variables import group, setting


@group
class ApiSettings:
    """The API: its address, keys, sessions and limits of requests."""

    server_host: str = setting(
        "SERVER_HOST", kinds.HOST, "localhost", "Address on which the API listens; 0.0.0.0 if PORT is set."
    )
    server_port: int = setting(
        "SERVER_PORT",
        kinds.PORT,
        "8080",
        "Port of the API; 0 picks a free one. PORT, which platforms set, takes precedence.",
    )
    server_read_timeout: float = setting(
        "SERVER_READ_TIMEOUT", kinds.duration(above=0), "10s", "Timeout for receiving a complete request."
    )
    server_write_timeout: float = setting(
        "SERVER_WRITE_TIMEOUT",
        kinds.duration(above=0),
        "10s",
        "Timeout for sending a complete response; for files and NDJSON, how long a client may be slower than 1 KiB/s.",
    )
    server_max_body: int = setting(
        "SERVER_MAX_BODY", kinds.size(), "1MiB", "Maximum size of a request body; larger ones get 413."
    )
    web_concurrency: int = setting("WEB_CONCURRENCY", kinds.integer(1, 1000), "2", "Number of API processes.")
    api_keys: tuple[ApiKey, ...] = setting(
        "GOPHER_API_KEYS",
        kinds.or_nothing(API_KEYS),
        "",
        "API keys: name:secret[:submit|read|admin], comma-separated; the role defaults to admin.",
    )
    require_api_key: bool = setting(
        "GOPHER_REQUIRE_API_KEY",
        kinds.BOOLEAN,
        "0",
        "1 rejects calls without an API key even if there is none yet: for keys that are all kept on the server.",
    )
    allow_anonymous: bool = setting(
        "GOPHER_ALLOW_ANONYMOUS",
        kinds.BOOLEAN,
        "0",
        "1 allows the API to accept other machines' requests without API keys: anyone who reaches it has full access.",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "GOPHER_ALLOWED_HOSTS",
        kinds.or_nothing(kinds.ALLOWED_HOSTS),
        "",
        "Host names of the API, such as gopher.internal or .example.com; * for any. Without API keys, requests for "
        "other hosts are rejected.",
    )
    trusted_proxies: int = setting(
        "GOPHER_TRUSTED_PROXIES",
        kinds.integer(0, 10),
        "0",
        "Number of reverse proxies in front of the API that add to X-Forwarded-For: 1 on Heroku.",
    )
    base_path: str = setting(
        "GOPHER_BASE_PATH",
        kinds.BASE_PATH,
        "",
        "Path below which clients find the API and its dashboard, such as /gopher; for a proxy that serves others too.",
    )
    api_rate: Rate | None = setting(
        "GOPHER_API_RATE", kinds.RATE, "off", "Rate limit of each client, such as 100/s; requests above it get 429."
    )
    session_idle: float = setting(
        "GOPHER_SESSION_IDLE",
        kinds.duration(above=0),
        "2h",
        "How long after the last click a session of the dashboard ends.",
    )
    session_max: float = setting(
        "GOPHER_SESSION_MAX", kinds.duration(above=0), "12h", "How long after signing in a session ends at the latest."
    )
    cors_origins: tuple[str, ...] = setting(
        "GOPHER_CORS_ORIGINS",
        kinds.or_nothing(kinds.ORIGINS),
        "",
        "Origins such as https://shop.example.com whose pages may call the API (CORS), each in full; * for any.",
    )
    audit_max: int = setting(
        "GOPHER_AUDIT_MAX", kinds.integer(1, 10**7), "10000", "Maximum number of entries of the audit trail."
    )
    capacity_within: float = setting(
        "GOPHER_CAPACITY_WITHIN",
        kinds.duration(above=0, most=86400.0),
        "60s",
        "Time within which jobs should start, for autoscaling; see docs/autoscaling.md.",
    )
    hirefire_token: str = setting(
        "HIREFIRE_TOKEN",
        kinds.SCALING_TOKEN,
        "",
        "Token with which HireFire asks for the number of workers; without it, /hirefire/<token>/info is not found.",
    )
