"""The API keys on the server: all of them in one hash, read as a whole by each process of the API when it changes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE, order, text
from gopher.jobs.api_keys import MAX_KEYS, KeyRecord
from gopher.server.calls import Call

from .scripts import script
from .store import Server

#: Seconds for which the use of a key is not noted again.
USE_NOTED_FOR = 60.0
#: The version of a caller that has read none.
UNREAD = "-"
_USED = "used:"
_HEX_DIGITS = 64
_decode = msgspec.json.Decoder(KeyRecord).decode


class StoredKey(NamedTuple):
    """A key's record as it is stored, and as it reads, None if it can't be read; when it was last used (Unix ms)."""

    stored: bytes
    record: KeyRecord | None
    used: int | None


class StoredKeys(NamedTuple):
    """The keys by the digests of their secrets; None if they are those of the version that the caller has read."""

    #: The server's clock (Unix ms).
    now: int
    version: str
    keys: Mapping[bytes, StoredKey] | None


class Change(NamedTuple):
    """A change of a key: its record as it was read, and the new one; b"" for none."""

    digest: bytes
    stored: bytes
    new: bytes


def read_keys(server: Server, version: str = UNREAD, **patience: float) -> StoredKeys:
    """Read the keys, unless `version` is still the current one. Raises a ServerError."""
    call = Call(script("api/read_keys"), server.keys.api_keys, (version,), _read)
    found: StoredKeys = server.run(call, **patience)
    return found


def change_keys(server: Server, changes: Sequence[Change]) -> str:
    """Change keys, all or none: OK, CHANGED if another client has changed one of them since, or FULL."""
    arguments = [value for each in changes for value in (each.digest.hex(), each.stored, each.new)]
    call = Call(script("api/change_keys"), server.keys.api_keys, (str(MAX_KEYS), *arguments), text)
    answer: str = server.run(call)
    return answer


def note_use(server: Server, digest: bytes) -> None:
    """Note that a key is used, at most once a minute whichever process notes it. Raises a ServerError."""
    arguments = (digest.hex(), str(round(USE_NOTED_FOR * 1000)))
    server.run(Call(script("api/note_key_use"), server.keys.api_keys, arguments, bool), patience=0)


def _read(reply: Sequence[Any]) -> StoredKeys:
    now, version, *changed = reply
    return StoredKeys(now, text(version), _keys(changed[0]) if changed else None)


def _keys(flat: Sequence[bytes]) -> dict[bytes, StoredKey]:
    values = {text(field): value for field, value in zip(flat[0::2], flat[1::2], strict=True)}
    return {
        bytes.fromhex(field): StoredKey(value, read_record(value), _used(values.get(_USED + field)))
        for field, value in values.items()
        if len(field) == _HEX_DIGITS
    }


def read_record(value: bytes) -> KeyRecord | None:
    try:
        return _decode(value)
    except UNREADABLE:
        return None


def _used(value: bytes | None) -> int | None:
    return None if value is None else order(value)
