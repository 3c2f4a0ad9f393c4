"""Which children the system has killed for lack of memory: it counts its kills, but does not name the processes."""

import time

from gopher.config.machine import oom_kills

#: Seconds for which a kill may explain the death of a child.
_RECENT = 2.0


class OomKills:
    """Assigns the system's kills to deaths. Several may be noticed at once."""

    def __init__(self) -> None:
        self._counted = oom_kills()
        #: Kills that have explained no death, and until when one of them may.
        self._left, self._until = 0, 0.0

    def look(self) -> None:
        """Note the kills so far. Called now and then: those of other processes explain no later death of a child."""
        now, counted = time.monotonic(), oom_kills()
        if now >= self._until:
            self._left = 0
        if counted > self._counted:
            self._left += counted - self._counted
            self._counted, self._until = counted, now + _RECENT

    def explain_one(self) -> bool:
        """Return whether a child that was killed just now was killed for lack of memory."""
        self.look()
        if not self._left:
            return False
        self._left -= 1
        return True
