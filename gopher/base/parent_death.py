"""Processes that die with their parent."""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
# Loaded now: between a fork and what comes next there may be no time for it, nor any lock free.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, signal: int) -> None:
    """Let the kernel send this process a signal when `parent` dies; exit immediately if it has died already.

    The kernel takes the *thread* that forked for the parent. Where there is no such call, only the second holds.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:
        os._exit(1)
