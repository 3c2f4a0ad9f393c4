"""All settings, read from the environment once at start.

Each field is declared, in `groups/`, with its variable, its kind, its default as text, and its description. Durations
become seconds (float), sizes bytes (int).
"""

import ipaddress
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

from gopher.base.address import ServerAddress
from gopher.errors import ConfigurationError

from . import machine
from .conflicts import conflicts
from .environment import names_of
from .groups.api import ApiSettings
from .groups.client import ClientSettings
from .groups.files import FileSettings
from .groups.handlers import HandlerSettings
from .groups.jobs import JobSettings
from .groups.server import ServerSettings, TlsSettings
from .groups.telemetry import TelemetrySettings
from .groups.uploads import UploadSettings
from .groups.webhooks import WebhookSettings
from .groups.worker import WorkerSettings
from .key_kinds import LEAST_SECRET
from .server_address import address_conflicts, address_of, said_by, verifying
from .variables import Given, Variable, group, shown

#: The fields that `Client` uses.
USED_BY_CLIENT = frozenset(
    each.name
    for group in (ServerSettings, TlsSettings, JobSettings, FileSettings, UploadSettings, WebhookSettings)
    for each in fields(group)
) | {"audit_max"}


# The bases are listed from last to first: that is the order in which dataclasses joins their fields.
@group
class Settings(
    WebhookSettings,
    HandlerSettings,
    FileSettings,
    TelemetrySettings,
    JobSettings,
    WorkerSettings,
    ClientSettings,
    TlsSettings,
    ServerSettings,
    UploadSettings,
    ApiSettings,
):
    """The settings of all processes. Created by `from_env()`; `replace()` returns a modified copy."""

    def __init__(self, **given: Any) -> None:
        if unknown := given.keys() - {each.name for each in fields(self)}:
            raise TypeError(f"there is no setting {', '.join(sorted(unknown))}")
        for each in fields(self):
            name, variable = each.name, each.metadata["variable"]
            vars(self)[name] = given[name] if name in given else variable.kind.read(variable.default)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    # Some settings are dicts.
    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings. An empty variable counts as unset.

        Raises ConfigurationError with every invalid variable, its value and what is expected.
        """
        given = Given(cls.variables(), os.environ if environ is None else environ)
        settings, problems = cls._read(given)
        # Invalid variables have their defaults here, and are not checked for conflicts.
        together = [given.named(text) for names, text in conflicts(settings) if not problems.keys() & names]
        _refuse([*problems.values(), *together])
        return replace(_with_address(settings, given), worker_concurrency=_children(settings))

    @classmethod
    def for_client(
        cls,
        url: str | None = None,
        *,
        namespace: str | None = None,
        uses: Collection[str] = USED_BY_CLIENT,
        environ: Mapping[str, str] | None = None,
    ) -> "Settings":
        """Read the settings of a client, which is a guest in a program with variables of its own.

        Arguments win over the environment. Only variables of the fields that it `uses` can be invalid; others count as
        unset. Raises ConfigurationError.
        """
        given = Given(cls.variables(), os.environ if environ is None else environ)
        if url is not None:
            given.forget_unprefixed("REDIS_")
            given.forget(*said_by(url))
        if namespace is not None:
            given.forget("GOPHER_NAMESPACE")
        settings, problems = cls._read(given)
        used = {each.metadata["variable"].name for each in fields(cls) if each.name in uses}
        invalid = [text for name, text in problems.items() if name in used]
        if url is None and not invalid and "redis_url" in uses:
            invalid = [given.named(text) for _, text in address_conflicts(settings)]
        _refuse(invalid)
        settings = replace(settings, redis_url=url) if url is not None else settings
        settings = replace(settings, namespace=namespace) if namespace is not None else settings
        return _with_address(settings, given) if "redis_url" in uses else settings

    @classmethod
    def _read(cls, given: Given) -> tuple["Settings", dict[str, str]]:
        """Return the settings, and what is wrong with variables by name."""
        problems: dict[str, str] = {}
        given.read_files(problems)
        return cls(**dict(given.read_fields(cls, problems))), problems

    def at(self, url: str) -> "Settings":
        """Return the settings with another server, of which the URL says everything."""
        return replace(self, redis_url=url, redis_username=None, redis_password=None, redis_db=None)

    @classmethod
    def variables(cls) -> tuple[Variable, ...]:
        """Return the table of variables, in the order of the fields, without `PORT`, which is an alias."""
        return tuple(each.metadata["variable"] for each in fields(cls))

    @classmethod
    def names(cls) -> set[str]:
        """Return all variables that settings are read from, with prefix and without, except files of secrets."""
        return {each for name in ("PORT", *(variable.name for variable in cls.variables())) for each in names_of(name)}

    @property
    def server_address(self) -> ServerAddress:
        """The server's address: `redis_url` and the settings that override parts of it."""
        return address_of(self)

    @property
    def requires_api_key(self) -> bool:
        """Whether the API requires a key whatever keys there are on the server."""
        return bool(self.api_keys) or self.require_api_key

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
        """At the start of the API: raise ConfigurationError if other machines could reach it without strong keys."""
        if not self.listens_beyond_loopback:
            return
        if short := [number for number, key in enumerate(self.api_keys, 1) if key.short]:
            raise ConfigurationError(
                f"refusing to listen on {self.server_host}: GOPHER_API_KEYS has secrets of fewer than {LEAST_SECRET} "
                f"characters (key {', '.join(map(str, short))} of {len(self.api_keys)}). Use longer ones, for example "
                "with `openssl rand -hex 32`, or set SERVER_HOST=localhost."
            )
        if not self.requires_api_key and not self.allow_anonymous:
            raise ConfigurationError(
                f"refusing to listen on {self.server_host}: without GOPHER_API_KEYS anyone who reaches it could submit "
                "and delete jobs. Set GOPHER_API_KEYS=name:secret, GOPHER_REQUIRE_API_KEY=1 for keys made with "
                "`gopherctl keys create`, or SERVER_HOST=localhost, or, behind an authenticating proxy, "
                "GOPHER_ALLOW_ANONYMOUS=1."
            )

    def __repr__(self) -> str:
        texts = ", ".join(
            f"{each.name}={shown(each.metadata['variable'].kind, getattr(self, each.name))}" for each in fields(self)
        )
        return f"Settings({texts})"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigurationError("invalid settings:" + "".join(f"\n  {text}" for text in problems))


def _with_address(settings: Settings, given: Given) -> Settings:
    address = settings.server_address
    if given.texts.get("REDIS_TLS_VERIFY"):
        # Also by its default, if that is explicit.
        address = verifying(address, settings.redis_tls_verify)
    return replace(settings, redis_url=address.url)


def _children(settings: Settings) -> int:
    return settings.worker_concurrency or machine.children(settings.worker_max_memory_per_child, settings.worker_memory)
