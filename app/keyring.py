"""Finds the key of a secret: among GOPHER_API_KEYS, which need no server, and among those that are kept on the server.

A process holds all keys of the server in memory, so that a request costs the server nothing. At most every two
seconds, with a request, it asks whether they have changed: so a revoked key stops within that time. A secret that may
be that of a new key makes it ask at once, but guesses do so twice a second at most. Keys that could not be read for
five seconds are not accepted any more, while those of GOPHER_API_KEYS still are. An unreachable server is asked once a
second; a secret that is not known meanwhile can't be refused.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable

from gopher.config.key_kinds import ApiKey
from gopher.config.settings import Settings
from gopher.errors import GopherError, QueueUnavailable, ServerError
from gopher.jobs.api_keys import SECRET
from gopher.queue.api_keys import UNREAD, USE_NOTED_FOR, note_use, read_keys
from gopher.queue.store import Server
from gopher.server.executor import PATIENCE
from gopher.telemetry.logs import get_logger

#: Seconds for which keys are used without asking whether they have changed, and for which they are used at most.
FRESH, LONGEST = 2.0, 5.0
#: Seconds after which an unreachable server is asked again.
_ASK_AGAIN = 1.0
#: Seconds for which reading is tried if nothing is known otherwise: as for the call that the request is for.
_PATIENCE = PATIENCE
#: How often unknown secrets make a process ask: per second, and at once.
_GUESSES, _GUESSES_AT_ONCE = 2.0, 10.0
#: How many unknown secrets are remembered.
_REMEMBERED = 1000
_log = get_logger("api")


class Keyring:
    """The API keys, as one process knows them. Threads share it; `server` returns the server of the process."""

    def __init__(self, settings: Settings, server: Callable[[], Server]) -> None:
        self._server = server
        self._always_required = settings.requires_api_key
        #: Of GOPHER_API_KEYS.
        self._configured = {key.digest: key for key in settings.api_keys}
        self._kept: dict[bytes, ApiKey] = {}
        self._version = UNREAD
        #: When they were read, and when that failed last (monotonic s).
        self._read_at = self._failed_at = float("-inf")
        self._failure: GopherError | None = None
        #: The server's clock (ms) at monotonic 0.
        self._clock_offset = 0.0
        #: Once there were keys, they stay required: neither revoking the last one nor an emptied server opens the API.
        self._seen = False
        self._reading = threading.Lock()
        #: Digests of unknown secrets that it has asked for.
        self._unknown: set[bytes] = set()
        #: How many unknown secrets may make this process ask, as of when (monotonic s).
        self._guesses, self._guesses_at = _GUESSES_AT_ONCE, 0.0
        #: Digest -> when this process noted that the key is used (monotonic s).
        self._noted: dict[bytes, float] = {}

    def required(self, *, waits: bool = True) -> bool:
        """Return whether calls need a key: one is configured or kept on the server.

        Raises ServerError if that can't be known: an unreachable server must not open the API. Without `waits` it is
        asked once.
        """
        if self._always_required or self._seen:
            return True
        self._refresh(patience=_PATIENCE if waits else 0)
        return self._seen

    def find(self, secret: bytes) -> ApiKey | None:
        """Return the key with a secret, None if there is none. Raises ServerError if that can't be known."""
        digest = hashlib.sha256(secret).digest()
        key = self._configured.get(digest)
        if key is None and SECRET.fullmatch(secret):
            asks = digest not in self._kept and self._may_ask(digest)
            self._refresh(for_new=asks)
            if self._failed_at > self._read_at and digest not in self._kept and (asks or digest not in self._unknown):
                # It may be a new key: to answer that there is none would be a guess.
                self._unknown.discard(digest)
                raise self._unreadable()
            key = self._valid(self._kept.get(digest))
            if key is not None:
                self._note_use(digest)
        # The lookup takes the same time wherever a secret differs, since that changes all of its digest.
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None

    def named(self, name: str) -> list[ApiKey]:
        """Return the keys that have a name. Raises ServerError if they can't be known."""
        self._refresh()
        found = [*self._configured.values(), *filter(None, map(self._valid, self._kept.values()))]
        return [key for key in found if key.name == name]

    def of_id(self, key_id: str) -> ApiKey | None:
        """Return the key with an id, None if there is none (any more). Raises ServerError."""
        configured = next((key for key in self._configured.values() if key.id == key_id), None)
        if configured is not None:
            return configured
        self._refresh()
        return self._valid(next((key for key in self._kept.values() if key.id == key_id), None))

    def _valid(self, key: ApiKey | None) -> ApiKey | None:
        if key is None or key.expires is None:
            return key
        return key if key.expires > time.monotonic() * 1000 + self._clock_offset else None

    def _may_ask(self, digest: bytes) -> bool:
        """Return whether an unknown secret may make this process ask, and count it."""
        # A client that continues with a revoked key must not delay new ones.
        if digest in self._unknown:
            return False
        now = time.monotonic()
        left = min(self._guesses + (now - self._guesses_at) * _GUESSES, _GUESSES_AT_ONCE)
        self._guesses, self._guesses_at = max(left - 1, left % 1), now
        if left >= 1:
            self._unknown.add(digest)
        return left >= 1

    def _refresh(self, *, for_new: bool = False, patience: float = _PATIENCE) -> None:
        """Read the keys again if they have not been read for a while, or there may be new ones.

        Raises ServerError.
        """
        now = time.monotonic()
        if now - self._read_at < FRESH and not for_new:
            return
        # One thread reads. Others use what is known, and wait only where that is not enough.
        has_failed = self._failed_at > self._read_at
        must_wait = for_new or now - self._read_at >= LONGEST
        if self._reading.acquire(blocking=must_wait and patience > 0 and not has_failed):
            try:
                self._read_if_due(now, patience if must_wait else 0)
            finally:
                self._reading.release()
        if time.monotonic() - self._read_at >= LONGEST:
            raise self._unreadable()

    def _unreadable(self) -> ServerError:
        """Return an error of the kind that reading the keys failed with, so that clients learn what is wrong."""
        failure = self._failure
        if isinstance(failure, ServerError) and not isinstance(failure, QueueUnavailable):
            return type(failure)(f"{failure.public}, and the API keys that it keeps can't be read: try again later")
        return QueueUnavailable("the server is unavailable, and with it the API keys that it keeps: try again later")

    def _read_if_due(self, since: float, patience: float) -> None:
        """Read the keys, unless another thread has started to since that moment, or has just failed to."""
        now = time.monotonic()
        if self._read_at >= since or now - self._failed_at < _ASK_AGAIN:
            return
        try:
            found = read_keys(self._server(), self._version, patience=patience)
        except GopherError as error:
            self._failed_at, self._failure = time.monotonic(), error
            _log.warning("API keys not read", details=str(error))
            return
        if found.keys is not None:
            self._kept = {
                digest: each.record.key(digest) for digest, each in found.keys.items() if each.record is not None
            }
            self._version = found.version
        self._seen = self._seen or bool(found.version)
        self._clock_offset = found.now - time.monotonic() * 1000
        if len(self._unknown) > _REMEMBERED:
            self._unknown.clear()
        self._noted = {digest: noted for digest, noted in self._noted.items() if digest in self._kept}
        self._read_at = now

    def _note_use(self, digest: bytes) -> None:
        now = time.monotonic()
        if now - self._noted.get(digest, float("-inf")) < USE_NOTED_FOR:
            return
        # Also if the server is unavailable: then the next request must not wait for it, too.
        self._noted[digest] = now
        try:
            note_use(self._server(), digest)
        except GopherError as error:
            _log.warning("use of an API key not noted", details=str(error))
