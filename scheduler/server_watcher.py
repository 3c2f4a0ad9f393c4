"""Logs what endangers jobs on the server, when it begins and when it is over."""

from collections.abc import Mapping

from gopher.queue.server_state import Danger, NodeState, changes, dangers_of
from gopher.queue.store import Server
from gopher.telemetry.logs import get_logger

log = get_logger("server")


class ServerWatcher:
    """Compares the server's state with the one before."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._states: Mapping[str, NodeState] = {}
        self._dangers: dict[str, Danger] = {}

    def step(self) -> None:
        """Log what has changed. The server is asked every ten seconds."""
        states = self._server.watch.states()
        if not states or states is self._states:
            # Not known at the moment, or the same look.
            return
        for change in changes(self._states, states):
            log.warning(change)
        dangers = {each.kind: each for each in dangers_of(states, self._server.settings)}
        for kind in dangers.keys() - self._dangers.keys():
            log.warning(dangers[kind].message, remedy=dangers[kind].remedy)
        for kind in self._dangers.keys() - dangers.keys():
            log.info("no longer the case", message=self._dangers[kind].message)
        self._states, self._dangers = states, dangers
