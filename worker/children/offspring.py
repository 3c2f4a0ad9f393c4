"""What a handler starts is a process like any other: it does not inherit that the kernel takes our children first.

Descriptors and the signal at its parent's death are not inherited anyway: Python closes those, the kernel forgets this.
"""

import os
import subprocess
from collections.abc import Callable
from functools import wraps
from typing import Any

from .system import OomScore

#: What starts programs. `subprocess` has its function under a name of its own.
_STARTS = ((subprocess, "_fork_exec"), (os, "posix_spawn"), (os, "posix_spawnp"), (os, "system"))


def prefer_alone_as_oom_victim() -> None:
    """Have the kernel take this process before the supervisor when memory runs out, and nothing that it starts."""
    score = OomScore()
    score.prefer_as_victim()
    os.register_at_fork(after_in_child=score.forget)
    for module, name in _STARTS:
        if hasattr(module, name):
            setattr(module, name, _starting(getattr(module, name), score))


def _starting(function: Callable[..., Any], score: OomScore) -> Callable[..., Any]:
    @wraps(function)
    def starting(*args: Any, **options: Any) -> Any:
        with score.lowered():
            return function(*args, **options)

    return starting
