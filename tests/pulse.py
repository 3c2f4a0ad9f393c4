"""How long processes of this machine wait for a processor, for tests that judge times."""

import threading
import time
from types import TracebackType

#: Seconds between two looks.
_PERIOD = 0.005
#: How often what is judged may have to wait for a processor: it takes several processes, one after the other.
_TURNS = 10


class Pulse(threading.Thread):
    """Measures it while it is open. A context manager."""

    def __init__(self) -> None:
        super().__init__(name="pulse", daemon=True)
        self._over = threading.Event()
        #: The longest wait so far (s).
        self.longest = 0.0

    def __enter__(self) -> "Pulse":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(_PERIOD)
            self.longest = max(self.longest, time.monotonic() - began - _PERIOD)

    def allows(self, seconds: float, within: float) -> bool:
        """Return whether what took so long would take at most `within` seconds on a machine without other work."""
        return seconds <= within + _TURNS * self.longest

    def __str__(self) -> str:
        return f"processes waited up to {self.longest:.3f} s for a processor"
