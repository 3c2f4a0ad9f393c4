"""Rate limits of the API's clients, counted in the server, so that all processes share them."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from gopher.base.durations import in_seconds
from gopher.base.rates import Rate
from gopher.queue.scripts import script
from gopher.queue.store import Server
from gopher.server.calls import Call


class Admission(NamedTuple):
    """Whether a request is admitted, and the client's remaining allowance; times in seconds."""

    admitted: bool
    left: int
    retry_after: float
    full_after: float


class Turnstile:
    """A token bucket for each client: its size is the rate's count, and it refills within the rate's period.

    With 100/m, a client may send a burst of 100, and then one every 0.6 s.
    """

    def __init__(self, rate: Rate) -> None:
        self.tokens = max(int(rate.count), 1)
        self._interval = round(rate.period / rate.count * 1e6)
        #: Seconds to fill an empty bucket.
        self.window = self.tokens * self._interval / 1e6

    def ask(self, server: Server, client: str) -> Admission:
        """Take a token from a client's bucket. Raises a ServerError, immediately if the server is unavailable."""
        arguments = (str(self.tokens), str(self._interval))
        admission: Admission = server.run(
            Call(script("api/admit"), _bucket(server, client), arguments, _read), patience=0
        )
        return admission

    def give_back(self, server: Server, client: str) -> None:
        """Put back a token that `ask` has taken. Raises a ServerError."""
        bucket = _bucket(server, client)
        server.run(Call(script("api/give_back"), bucket, (str(self._interval),), bool), patience=0)


def _bucket(server: Server, client: str) -> str:
    return server.keys.client(hashlib.sha256(client.encode()).hexdigest()[:32])


def _read(reply: Sequence[int]) -> Admission:
    admitted, left, retry_after, full_after = reply
    return Admission(bool(admitted), left, in_seconds(retry_after), in_seconds(full_after))
