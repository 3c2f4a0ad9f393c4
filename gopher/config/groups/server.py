"""The server: Redis or Valkey, and the namespace of keys on it."""

from pathlib import Path

from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class ServerSettings:
    """The server: Redis or Valkey, and the namespace of keys on it."""

    redis_url: str = setting(
        "REDIS_URL",
        kinds.SERVER_URL,
        "redis://localhost:6379",
        "URL of the server: redis://, unix://, redis+sentinel://h1:26379,h2:26379/mymaster/0 or "
        "redis+cluster://h1:7000,h2:7001; rediss in place of redis for TLS.",
    )
    redis_username: str | None = setting(
        "REDIS_USERNAME", kinds.optional(kinds.TEXT), "", "Overrides the user name in REDIS_URL."
    )
    redis_password: str | None = setting(
        "REDIS_PASSWORD", kinds.optional(kinds.SECRET), "", "Overrides the password in REDIS_URL."
    )
    redis_db: int | None = setting(
        "REDIS_DB", kinds.optional(kinds.integer(0, 99999)), "", "Overrides the database in REDIS_URL (0)."
    )
    redis_timeout: float = setting(
        "REDIS_TIMEOUT",
        kinds.duration(above=0),
        "5s",
        "Timeout of a command, after which the server is considered unavailable.",
    )
    redis_sentinel_username: str | None = setting(
        "REDIS_SENTINEL_USERNAME", kinds.optional(kinds.TEXT), "", "User name for the sentinels themselves."
    )
    redis_sentinel_password: str | None = setting(
        "REDIS_SENTINEL_PASSWORD", kinds.optional(kinds.SECRET), "", "Password for the sentinels themselves."
    )
    redis_address_map: str | None = setting(
        "REDIS_ADDRESS_MAP",
        kinds.optional(kinds.ADDRESS_MAP),
        "",
        "Where addresses are reached that a cluster or Sentinel reports, such as 10.0.0.5:6379=redis.example.com:7001.",
    )
    redis_server: Path | None = setting(
        "GOPHER_REDIS_SERVER",
        kinds.optional(kinds.FILE),
        "",
        "Path of the server program for the embedded server; by default it is searched for.",
    )
    namespace: str = setting(
        "GOPHER_NAMESPACE", kinds.NAMESPACE, "gopher", "Prefix of all keys, for several installations on one server."
    )


@group
class TlsSettings:
    """TLS to the server, for the schemes that begin with rediss."""

    redis_tls_verify: str = setting(
        "REDIS_TLS_VERIFY",
        kinds.TLS_VERIFY,
        "required",
        "Verification of the server's certificate: required, none, or the path of a CA file.",
    )
    redis_tls_check_hostname: bool | None = setting(
        "REDIS_TLS_CHECK_HOSTNAME",
        kinds.optional(kinds.BOOLEAN),
        "",
        "Whether the certificate must be for the host that Gopher connects to (1).",
    )
    redis_tls_server_name: str | None = setting(
        "REDIS_TLS_SERVER_NAME",
        kinds.optional(kinds.SERVER_NAME),
        "",
        "Host name that the certificate must be for instead, also sent to the server (SNI).",
    )
    redis_tls_cert: str | None = setting(
        "REDIS_TLS_CERT",
        kinds.optional(kinds.EXISTING_FILE),
        "",
        "Path of the client certificate, for servers that require one.",
    )
    redis_tls_key: str | None = setting(
        "REDIS_TLS_KEY",
        kinds.optional(kinds.EXISTING_FILE),
        "",
        "Path of the client certificate's key, unless it is in the same file.",
    )
    redis_tls_key_password: str | None = setting(
        "REDIS_TLS_KEY_PASSWORD", kinds.optional(kinds.SECRET), "", "Password of the client certificate's key."
    )
    redis_sentinel_tls: bool | None = setting(
        "REDIS_SENTINEL_TLS",
        kinds.optional(kinds.BOOLEAN),
        "",
        "Whether the sentinels use TLS, if that differs from the servers.",
    )
