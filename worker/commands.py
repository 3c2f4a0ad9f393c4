"""Commands of operators, which heartbeats bring: each is obeyed once."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from gopher.queue.commands import WorkerCommand, decode_command
from gopher.telemetry.logs import get_logger

log = get_logger("worker")

#: How many obeyed commands are remembered; the server keeps fewer.
_REMEMBERED = 200


class Commands:
    """Obeys commands. `actions` has what each does: it is called with the command, and the queue that brought it."""

    def __init__(self) -> None:
        self.actions: Mapping[str, Callable[[WorkerCommand, str], None]] = {}
        self._obeyed: deque[str] = deque(maxlen=_REMEMBERED)

    def take(self, texts: Iterable[str], queue: str) -> None:
        """Obey those that are new. A heartbeat whose reply was lost reads them again, so the server keeps them."""
        for text in texts:
            command = decode_command(text)
            if command is None or command.id in self._obeyed:
                continue
            self._obeyed.append(command.id)
            action = self.actions.get(command.do)
            if action is None:
                log.warning("an unknown command was ignored: update this worker", command=command.do)
            else:
                action(command, queue)
