"""Sessions of the dashboard, kept in the server: a visitor's cookie is a random id, and says nothing else.

A session ends when it is signed out, when its key is removed or changed, GOPHER_SESSION_IDLE after the last click, and
GOPHER_SESSION_MAX after the sign-in. The server stores a hash of the id, so that it can't be stolen there, and a proof
that the visitor had the key, from which the key can't be guessed without the id.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable

import msgspec

from gopher.base.salvage import Salvage
from gopher.config.key_kinds import ApiKey
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained

#: Milliseconds for which a click is not recorded after another one.
_CLICK_COUNTS_FOR = 60_000


class Session(msgspec.Struct):
    """A session as it is stored: the name of its key, the proof, the latest end (ms by the server's clock)."""

    name: str
    proof: str
    ends: int


_decode = msgspec.json.Decoder(Session).decode


class Sessions:
    """The sessions of an installation."""

    def __init__(self, server: Server) -> None:
        self._server = server
        settings = server.settings
        self._most = int(settings.session_max * 1000)
        self._idle = min(int(settings.session_idle * 1000), self._most)
        self._recent = self._idle - min(_CLICK_COUNTS_FOR, self._idle // 10)

    def begin(self, key: ApiKey) -> str:
        """Start a session of a key; return its id. Raises a ServerError."""
        session_id = secrets.token_urlsafe(32)
        place = self._place(session_id)
        with explained():
            ends = now_at(self._server.client, place) + self._most
        record = msgspec.json.encode(Session(key.name, _proof(session_id, key), ends))
        self._server.write(place, lambda: self._server.client.set(place, record, px=self._idle))
        return session_id

    def key_of(
        self, session_id: str, keys_named: Callable[[str], Iterable[ApiKey]], *, is_click: bool
    ) -> ApiKey | None:
        """Return the key of a session that has not ended, None without one. A click puts off the end of an idle one.

        `keys_named` returns the keys that have a name now: so a session ends with its key.
        """
        place = self._place(session_id)
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            stored, left = pipe.get(place).pttl(place).execute()
            session = None if stored is None else Salvage().read("session", lambda: _decode(stored), None)
            if session is None:
                return None
            if is_click and left < self._recent:
                self._put_off(place, session)
        fitting = (
            key for key in keys_named(session.name) if hmac.compare_digest(_proof(session_id, key), session.proof)
        )
        return next(fitting, None)

    def end(self, session_id: str) -> None:
        """End a session. Raises a ServerError."""
        with explained():
            self._server.client.delete(self._place(session_id))

    def _put_off(self, place: str, session: Session) -> None:
        left = session.ends - now_at(self._server.client, place)
        self._server.client.pexpire(place, min(self._idle, left))

    def _place(self, session_id: str) -> str:
        return self._server.keys.session(hashlib.sha256(session_id.encode()).hexdigest())


def _proof(session_id: str, key: ApiKey) -> str:
    return hmac.digest(session_id.encode(), key.digest, "sha256").hex()
