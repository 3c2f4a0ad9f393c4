"""Withdraws what handlers have declared and no running process declares any more (see `queue/announcing.py`).

Only while some process announces its declarations, and none runs that does not. What seems overdue is watched for some
periods first: after an outage, or when the server's clock was set, it is announced again by then.
"""

import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from gopher.admin.audit import Actor, acting, record
from gopher.admin.withdrawals import Declaration, Withdrawals
from gopher.queue.announcing import period
from gopher.queue.store import Server
from gopher.telemetry.logs import get_logger

log = get_logger("scheduler")

#: Queues that are looked at per step.
_PER_STEP = 5
#: Periods of announcements for which a declaration is watched.
_PERIODS = 3


class _Watched(NamedTuple):
    """When a declaration was last announced (server's ms), and since when it is watched (monotonic s)."""

    announced: float
    since: float


class Withdrawer:
    """Looks at a few queues with each step. `declares` tells whether this scheduler has handlers itself."""

    def __init__(self, server: Server, *, declares: bool) -> None:
        after = server.settings.withdraw_after
        self._period = period(after)
        self._watch_for = _PERIODS * self._period
        self._server = server
        self._withdrawals = Withdrawals(server, after)
        #: Seconds without an announcement after which a declaration is watched.
        self._watch_after = max(after - self._watch_for, 0.0)
        self._declares = declares
        #: When each queue was last looked at (monotonic s), and its declarations that are watched.
        self._looked: dict[str, float] = {}
        self._watched: dict[Declaration, _Watched] = {}
        #: Whether earlier declarations have been noticed since processes of earlier versions were last seen.
        self._noticed = False

    def step(self, queues: Sequence[str]) -> None:
        """Look at the queues that are due, a few at a time. Raises a ServerError."""
        some = self._due(queues)
        if not some:
            return
        if not self._noticed and self._may_withdraw():
            self._withdrawals.notice_all()
            self._noticed = True
        overdue = [each for each in self._watch(some) if self._is_overdue(each)]
        if overdue and self._may_withdraw():
            for each in overdue:
                if self._withdrawals.withdraw(each):
                    self._tell(each)

    def _due(self, queues: Sequence[str]) -> list[str]:
        now = time.monotonic()
        self._looked = {name: self._looked.get(name, 0.0) for name in queues}
        oldest = sorted(self._looked, key=self._looked.__getitem__)[:_PER_STEP]
        due = [name for name in oldest if now - self._looked[name] >= self._period]
        self._looked |= dict.fromkeys(due, now)
        return due

    def _watch(self, queues: Sequence[str]) -> dict[Declaration, float]:
        """Note which declarations of these queues have not been announced for a while."""
        now = time.monotonic()
        found = self._withdrawals.unannounced(queues, self._watch_after)
        before, looked = self._watched, {*self._looked} - {*queues}
        self._watched = {each: watched for each, watched in before.items() if each.queue in looked}
        for each, announced in found.items():
            known = before.get(each)
            same = known is not None and known.announced == announced
            self._watched[each] = known if known is not None and same else _Watched(announced, now)
        return found

    def _is_overdue(self, declaration: Declaration) -> bool:
        return time.monotonic() - self._watched[declaration].since >= self._watch_for

    def _may_withdraw(self) -> bool:
        if silent := self._withdrawals.silent():
            self._noticed = False
            log.debug("nothing is withdrawn while earlier versions are running", processes=",".join(sorted(silent)))
            return False
        return self._declares or self._withdrawals.is_announced_by_workers()

    def _tell(self, withdrawn: Declaration) -> None:
        queue, kind, name = withdrawn
        about = {"queue": queue, kind: name}
        log.warning(f"withdrew the {kind} of a handler: no running process declares it any more", **about)
        with acting(lambda: Actor("scheduler", "scheduler", socket.gethostname())):
            record(self._server, f"{kind}s.withdraw", about)
