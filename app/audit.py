"""Who makes a call of the API, or presses a button of the dashboard; and which of their attempts are refused.

What the calls do is written where it is done (gopher/admin/audit.py).
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, g, has_request_context

from gopher.admin.audit import Actor, acting, record, user
from gopher.compat import current
from gopher.jobs.lists import DENIED, REFUSED

from .caller import role_of_caller
from .context import context, current_request

__all__ = ["acting", "actor", "deny", "install", "record_act", "refuse"]

#: Refused attempts of an address that have an entry each minute; further ones are counted by a later entry.
_EACH_MINUTE = 10
#: How many addresses are counted.
_ADDRESSES = 1000


def actor() -> Actor:
    """Return who sent the current request."""
    if not has_request_context():
        return user("client")
    asked, about = current_request(), current(g)
    through = "dashboard" if asked.blueprint == "dashboard" else "api"
    who, is_operator = about.get("key_name", "anonymous"), role_of_caller() == "admin"
    return Actor(through, who, asked.remote_addr or "", about.request_id, is_operator)


def unknown() -> Actor:
    """Return the sender of the current request as one whose key is unknown."""
    return actor()._replace(who="", is_operator=False)


def record_act(action: str, on: Mapping[str, Any], who: Callable[[], Actor] = actor, **facts: Any) -> None:
    """Write an entry of what the sender of this request has done, or has been refused."""
    with acting(who):
        # With a short timeout: clients without a key, too, can cause entries.
        record(context().doorkeeper.server, action, on, **facts)


def deny(action: str, on: Mapping[str, Any]) -> None:
    """Have this request, whose key lacks the role, written once, however many of its jobs are rejected."""
    g.denied = (action, on)


def refuse(action: str, on: Mapping[str, Any], details: str) -> None:
    """Write an entry of an attempt with an unknown key."""
    count = _refusals.count(current_request().remote_addr or "")
    if count:
        record_act(action, on, unknown, result=REFUSED, details=details, **({"count": count} if count > 1 else {}))


def install(app: Flask) -> None:
    @app.after_request
    def write(response: Response) -> Response:
        if "denied" in g:
            action, on = g.denied
            record_act(action, on, result=DENIED)
        return response


class _Refusals:
    """Counts the refused attempts of each address, so that a guesser does not fill the trail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Address -> minute, attempts of that minute, attempts that have no entry yet.
        self._seen: dict[str, tuple[int, int, int]] = {}

    def count(self, address: str) -> int:
        """Count an attempt; return the number of attempts for an entry, 0 for no entry."""
        now = int(time.monotonic() // 60)
        with self._lock:
            minute, attempts, untold = self._seen.pop(address, (now, 0, 0))
            attempts = attempts + 1 if minute == now else 1
            is_told = attempts <= _EACH_MINUTE
            if len(self._seen) >= _ADDRESSES:
                del self._seen[next(iter(self._seen))]
            self._seen[address] = (now, attempts, 0 if is_told else untold + 1)
        return untold + 1 if is_told else 0


_refusals = _Refusals()
