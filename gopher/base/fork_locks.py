"""A lock for threads that a process finds free if it is forked while another thread holds it."""

import os
import threading


class ForkLock:
    """A lock, as a context manager."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock = threading.Lock()
