"""API keys that are kept on the server: creates, lists, replaces and revokes them."""

import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from gopher.base.durations import EXPECTED, parse_duration
from gopher.base.names import KEY_ID, QUEUE_NAME, TENANT, TYPE_NAME, check_name
from gopher.config.key_kinds import Role
from gopher.errors import InvalidJob, JobConflict, KeyNotFound
from gopher.interface.keys import KeysInterface
from gopher.interface.operation import takes
from gopher.jobs.api_keys import (
    MAX_KEYS,
    NEEDS_TENANTS,
    SECRET_PREFIX,
    CreatedKey,
    KeyRecord,
    KeyRequest,
    KeyView,
    key_view,
)
from gopher.queue.api_keys import Change, StoredKey, change_keys, read_keys
from gopher.queue.store import Server

from .audit import audited

_SECRET_BYTES = 32
#: Milliseconds that expired keys are listed.
_LISTED_FOR = 30 * 86_400_000
#: How often a change is tried again because another client has changed the key at the same time.
_ATTEMPTS = 5
_UNREADABLE = KeyRecord("", "submit", 0)
Keys = Mapping[bytes, StoredKey]


@audited
class ApiKeys(KeysInterface):
    """The keys. Secrets are generated, and only their SHA-256 is stored."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def all(self) -> list[KeyView]:
        """Return the keys by name, without their secrets."""
        now, keys = self._read()
        return sorted(
            (_shown(digest, key, now) for digest, key in keys.items()), key=lambda view: (view.name, view.key_id)
        )

    @takes(KeyRequest)
    def create(self, asked: KeyRequest) -> CreatedKey:
        """Create a key and return it with its secret. Raises InvalidJob, JobConflict if there are too many."""
        _check_names(asked.queues, QUEUE_NAME, "/queues")
        _check_names(asked.types, TYPE_NAME, "/types")
        tenant = "" if asked.tenant is None else check_name(TENANT, asked.tenant, "/tenant")
        lifetime = None if asked.expires_in is None else _duration(asked.expires_in, "/expires_in", least=1)

        def make(now: int, keys: Keys) -> tuple[KeyRecord, list[Change]]:
            expires = None if lifetime is None else now + lifetime
            role = msgspec.convert(asked.role, Role)
            queues, types = _unique(asked.queues), _unique(asked.types)
            if tenant:
                queues = (NEEDS_TENANTS, *queues)
            return KeyRecord(asked.name, role, now, queues, types, expires, asked.durability or "", tenant), []

        return self._store(make)

    def rotate(self, key_id: str, overlap: str | float = "1d", expires_in: str | float | None = None) -> CreatedKey:
        """Create a key like another one, which expires after `overlap`. Raises KeyNotFound, InvalidJob."""
        most = _duration(overlap, "/overlap", least=0)
        lifetime = None if expires_in is None else _duration(expires_in, "/expires_in", least=1)

        def make(now: int, keys: Keys) -> tuple[KeyRecord, list[Change]]:
            digest, (stored, old, _) = _find(keys, key_id)
            if old is None:
                raise JobConflict(f"the record of key {key_id} can't be read: revoke it, and create another one")
            ends = now + most if old.expires is None else min(now + most, old.expires)
            changed = b"" if ends <= now else msgspec.json.encode(msgspec.structs.replace(old, expires=ends))
            length = old.expires - old.created if lifetime is None and old.expires is not None else lifetime
            new = msgspec.structs.replace(old, created=now, expires=None if length is None else now + length)
            return new, [Change(digest, stored, changed)]

        return self._store(make)

    def revoke(self, key_id: str) -> None:
        """Revoke a key. Raises KeyNotFound."""
        for _ in range(_ATTEMPTS):
            _, keys = self._read()
            digest, key = _find(keys, key_id)
            if change_keys(self._server, [Change(digest, key.stored, b"")]) == "OK":
                return
        raise _busy()

    def _store(self, make: Callable[[int, Keys], tuple[KeyRecord, list[Change]]]) -> CreatedKey:
        secret = SECRET_PREFIX + secrets.token_hex(_SECRET_BYTES)
        digest = hashlib.sha256(secret.encode()).digest()
        for _ in range(_ATTEMPTS):
            now, keys = self._read()
            record, others = make(now, keys)
            changes = [Change(digest, b"", msgspec.json.encode(record)), *others, *_long_expired(now, keys, others)]
            answer = change_keys(self._server, changes)
            if answer == "OK":
                return CreatedKey(**msgspec.structs.asdict(key_view(digest, record, now, None)), secret=secret)
            if answer == "FULL":
                raise JobConflict(f"there are {MAX_KEYS} keys already: revoke one first")
        raise _busy()

    def _read(self) -> tuple[int, Keys]:
        found = read_keys(self._server)
        return found.now, found.keys or {}


def _busy() -> JobConflict:
    return JobConflict("other clients change the keys at the same time: try again")


def _shown(digest: bytes, key: StoredKey, now: int) -> KeyView:
    view = key_view(digest, key.record or _UNREADABLE, now, key.used)
    return view if key.record is not None else msgspec.structs.replace(view, corrupt=["record"])


def _find(keys: Keys, key_id: str) -> tuple[bytes, StoredKey]:
    if KEY_ID.fullmatch(key_id):
        for digest, key in keys.items():
            if digest.hex().startswith(key_id):
                return digest, key
    raise KeyNotFound(f"there is no API key {key_id!r:.60} on the server")


def _long_expired(now: int, keys: Keys, others: Collection[Change]) -> Iterable[Change]:
    """Return the removal of keys that have expired long ago."""
    changed = {each.digest for each in others}
    for digest, (stored, record, _) in keys.items():
        if record and record.expires is not None and record.expires < now - _LISTED_FOR and digest not in changed:
            yield Change(digest, stored, b"")


def _check_names(names: Iterable[str], pattern: re.Pattern[str], field: str) -> None:
    for index, name in enumerate(names):
        check_name(pattern, name, f"{field}/{index}")


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _duration(text: str | float, field: str, *, least: int) -> int:
    """Return a duration in ms. Raises InvalidJob."""
    try:
        duration = round(parse_duration(text) * 1000)
    except ValueError:
        raise InvalidJob(f"is {text!r:.60}: expected {EXPECTED}", field) from None
    if duration < least:
        raise InvalidJob(f"is {text!r:.60}: expected more than 0", field)
    return duration
