"""How many requests a client of the API may send. The server counts, so that all processes do it together."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from gopher.base.durations import in_seconds
from gopher.base.rates import Rate
from gopher.queue.scripts import script
from gopher.queue.store import Server
from gopher.server.calls import Call


class Admission(NamedTuple):
    """Whether a request may pass, and what the client has left; times in seconds."""

    admitted: bool
    left: int
    retry_after: float
    full_after: float


class Turnstile:
    """A bucket of tokens for each client: as many as the rate counts, filled again in the rate's period.

    With 100/m a client may send 100 at once, and then one every 0.6 s.
    """

    def __init__(self, rate: Rate) -> None:
        self.tokens = max(int(rate.count), 1)
        self._interval = round(rate.period / rate.count * 1e6)
        #: Seconds in which an empty bucket fills.
        self.window = self.tokens * self._interval / 1e6

    def ask(self, server: Server, client: str) -> Admission:
        """Take a token of a client's bucket. Raises a ServerError, at once when the server is away."""
        digest = hashlib.sha256(client.encode()).hexdigest()[:32]
        call = Call(script("api/admit"), server.keys.client(digest), (str(self.tokens), str(self._interval)), _read)
        admission: Admission = server.run(call, patience=0)
        return admission


def _read(reply: Sequence[int]) -> Admission:
    admitted, left, retry_after, full_after = reply
    return Admission(bool(admitted), left, in_seconds(retry_after), in_seconds(full_after))
