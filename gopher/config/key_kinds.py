"""API keys as settings: their roles, and how they are read."""

import hashlib
from typing import Literal

import msgspec

from gopher.base.names import KEY_NAME

from .kinds import Kind

Role = Literal["submit", "read", "admin"]
#: From the weakest to the strongest; each includes the ones before it.
ROLES: tuple[Role, ...] = ("submit", "read", "admin")
_ROLE_OF: dict[str, Role] = {role: role for role in ROLES}
#: Number of hexadecimal digits of a key's id.
KEY_ID_DIGITS = 12
#: Minimum number of characters of a secret if the API is reachable from other machines.
LEAST_SECRET = 16


class ApiKey(msgspec.Struct, frozen=True):
    """A client's API key; only the SHA-256 digest of its secret is kept."""

    name: str
    digest: bytes
    role: Role
    #: Has fewer than LEAST_SECRET characters: accepted only if the API is not reachable from other machines.
    short: bool = False
    #: The queues and the job types that it is limited to; empty for all.
    queues: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    #: The tenant that it is limited to, "" for all.
    tenant: str = ""
    #: When it expires, by the server's clock (Unix ms).
    expires: int | None = None
    #: Of jobs that are submitted with it, "" for the default.
    durability: str = ""

    def __repr__(self) -> str:
        return f"ApiKey({self.name!r}, {self.role!r})"

    @property
    def id(self) -> str:
        """What identifies the key without its secret: the first digits of the secret's SHA-256."""
        return self.digest.hex()[:KEY_ID_DIGITS]

    @property
    def is_limited(self) -> bool:
        """Whether it is limited to some queues or types, or to a tenant."""
        return bool(self.queues or self.types or self.tenant)

    def admits(self, queue: str, job_type: str, tenant: str) -> bool:
        """Return whether a job is within its limits."""
        places = ((self.queues, queue), (self.types, job_type), ((self.tenant,) if self.tenant else (), tenant))
        return all(not allowed or value in allowed for allowed, value in places)


def _read_api_keys(text: str) -> tuple[ApiKey, ...]:
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ValueError("expected at least one key; leave the variable empty for none")
    keys = tuple(_read_api_key(entry, f"key {number} of {len(entries)}") for number, entry in enumerate(entries, 1))
    if len({key.digest for key in keys}) != len(keys):
        raise ValueError("expected each secret once")
    if len(keys) > 1 and not all(":" in entry for entry in entries):
        # A secret with a comma would be split in two keys, the second of which may be short and would be an admin.
        raise ValueError(
            "expected name:secret or name:secret:role for each of several keys; a secret can't contain a comma, and "
            "only a single key can be without a name"
        )
    return keys


def _read_api_key(text: str, which: str) -> ApiKey:
    """Read one key. Messages never repeat a part of it: with a misplaced colon, that could be the secret."""
    # Secret generators of platforms (Heroku's app.json) generate a bare secret: the owner's key.
    parts = [part.strip() for part in text.split(":")] if ":" in text else ["owner", text]
    if len(parts) > 3:
        raise ValueError(f"expected name:secret:role in {which}: neither name nor secret can contain a colon")
    name, secret, role = parts if len(parts) == 3 else (*parts, "admin")
    if not KEY_NAME.fullmatch(name):
        raise ValueError(
            f"expected name:secret:role in {which}, with a name of 1 to 64 letters, digits, spaces and . _ - @ + /"
        )
    if not secret:
        raise ValueError(f"expected name:secret:role in {which}: its secret is missing")
    if secret.lower() in _ROLE_OF:
        raise ValueError(f"expected name:secret:role in {which}: it has a role in place of its secret")
    if secret == name:
        raise ValueError(f"expected name:secret:role in {which}: its secret is its name, which others can see")
    if len(parts) == 2 and name.lower() in ("submit", "read"):
        raise ValueError(f"expected name:secret:role in {which}: its name is a role, so add its role explicitly")
    if role not in _ROLE_OF:
        raise ValueError(f"expected submit, read or admin as the role of {which} (or name:secret alone for admin)")
    return ApiKey(name, hashlib.sha256(secret.encode()).digest(), _ROLE_OF[role], len(secret) < LEAST_SECRET)


API_KEYS = Kind(
    "name:secret or name:secret:role, comma-separated, each secret once; role is submit, read or admin",
    _read_api_keys,
    secret=True,
)
