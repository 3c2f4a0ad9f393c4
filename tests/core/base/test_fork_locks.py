"""Locks that forked processes find free."""

import os
import signal
import threading

from gopher.base.fork_locks import ForkLock


def test_a_process_that_is_forked_while_a_thread_holds_a_lock_finds_it_free():
    lock, held, over = ForkLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    pid = os.fork()
    if not pid:
        # Otherwise it is ended after a while, by the signal.
        signal.alarm(10)
        with lock:
            os._exit(0)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with lock:
        pass
