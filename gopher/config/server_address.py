"""The server's address: `REDIS_URL`, and the settings that override parts of it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from gopher.base.address import ServerAddress, masked
from gopher.base.url_options import OPTIONS, SCHEMES_WITH
from gopher.errors import ConfigurationError

if TYPE_CHECKING:
    from .settings import Settings

#: Variables by the option of the URL that they override. REDIS_TLS_VERIFY is for two options.
_VARIABLES = {
    # First, since it decides whether there is TLS.
    "sentinel_tls": "REDIS_SENTINEL_TLS",
    "sentinel_username": "REDIS_SENTINEL_USERNAME",
    "sentinel_password": "REDIS_SENTINEL_PASSWORD",
    "address_map": "REDIS_ADDRESS_MAP",
    "ssl_check_hostname": "REDIS_TLS_CHECK_HOSTNAME",
    "ssl_server_name": "REDIS_TLS_SERVER_NAME",
    "ssl_certfile": "REDIS_TLS_CERT",
    "ssl_keyfile": "REDIS_TLS_KEY",
    "ssl_password": "REDIS_TLS_KEY_PASSWORD",
}
_VERIFYING = ("ssl_cert_reqs", "ssl_ca_certs")
#: All variables that override a part of REDIS_URL.
OVERRIDES = ("REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_TLS_VERIFY", *_VARIABLES.values())


def address_of(settings: "Settings") -> ServerAddress:
    """Return the address with all settings applied. Raises ConfigurationError if the URL is invalid."""
    try:
        address = ServerAddress.parse(settings.redis_url)
    except ValueError as error:
        # From a caller: that of the environment was checked.
        raise ConfigurationError(f"the server URL {masked(settings.redis_url)!r} is invalid: {error}") from None
    if settings.redis_username is not None:
        address = msgspec.structs.replace(address, username=settings.redis_username)
    if settings.redis_password is not None:
        address = msgspec.structs.replace(address, password=settings.redis_password)
    if settings.redis_db is not None:
        address = msgspec.structs.replace(address, db=settings.redis_db)
    for option, text in _given(settings):
        if address.has(OPTIONS[option].needs):
            address = address.with_options({option: text})
    return verifying(address, settings.redis_tls_verify) if settings.redis_tls_verify != "required" else address


def said_by(url: str) -> set[str]:
    """Return the settings that a URL leaves nothing to: those of its parts, and of the options that it has."""
    said = {"REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB"}
    try:
        address = ServerAddress.parse(url)
    except ValueError:
        return said
    if any(address.option(option) for option in _VERIFYING):
        said.add("REDIS_TLS_VERIFY")
    return said | {variable for option, variable in _VARIABLES.items() if address.option(option)}


def verifying(address: ServerAddress, verify: str) -> ServerAddress:
    """Return the address with this verification of certificates in place of what the URL says."""
    if not address.tls:
        return address
    chosen = {"ssl_cert_reqs": "none"} if verify == "none" else {} if verify == "required" else {"ssl_ca_certs": verify}
    return address.with_options(dict.fromkeys(_VERIFYING) | chosen)


def address_conflicts(settings: "Settings") -> Iterator[tuple[set[str], str]]:
    """Yield the variables and a message for each setting that does not fit the address."""
    address = settings.server_address
    scheme, names = address.scheme, {"REDIS_URL"}
    if address.is_cluster and settings.redis_db:
        yield names | {"REDIS_DB"}, f"REDIS_DB={settings.redis_db}: expected 0, the only database of a cluster"
    if address.username is not None and address.password is None:
        where = f"REDIS_URL={masked(str(address))!r}" if settings.redis_username is None else "REDIS_USERNAME"
        remedy = "expected a password as well, in the URL (as user:password@ or :password@) or in REDIS_PASSWORD"
        yield names | {"REDIS_USERNAME", "REDIS_PASSWORD"}, f"{where} is without a password: {remedy}"
    given = [(_VARIABLES[option], OPTIONS[option].needs) for option, _ in _given(settings)]
    if settings.redis_tls_verify not in ("required", "none"):
        given.append(("REDIS_TLS_VERIFY", OPTIONS["ssl_ca_certs"].needs))
    for variable, needs in given:
        if not address.has(needs):
            yield names | {variable}, f"{variable} is for {SCHEMES_WITH[needs]}, but REDIS_URL is {scheme}://"
    for problem in address.problems():
        text = re.sub(r"\w+", lambda word: _VARIABLES.get(word[0], word[0]), problem)
        yield names | set(_VARIABLES.values()), f"expected {text}"


def _given(settings: "Settings") -> Iterator[tuple[str, str]]:
    for option, variable in _VARIABLES.items():
        value = getattr(settings, variable.lower())
        if value is not None:
            yield option, str(int(value)) if isinstance(value, bool) else value
