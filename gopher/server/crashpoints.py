"""Points at which a test can kill a process: `GOPHER_CRASH_AT=<name>[:n]`.

A process with this variable kills itself with SIGKILL the n-th time (default: the first) that it reaches the point.
Without it, as always outside tests, a point costs a check of an empty variable.

Every script has three points: `<verb>.before_send`, `.after_send` (the server executes it, the reply is not read) and
`.after_reply`. The others are in `OTHERS`.
"""

import os
import signal
from collections.abc import Iterable

STAGES = ("before_send", "after_send", "after_reply")
OTHERS = {
    "pop.answered": "a worker has received a job by BRPOPLPUSH and the fetch after it, and no child has it",
    "job.given": "a supervisor has sent a job to a child",
    "job.taken": "a child has read a job and not started it",
    "job.run": "a child's handler has returned, and its outcome is not sent",
    "outcome.sent": "a child has sent an outcome",
    "file.half": "a part of a file is written to a store",
    "file.written": "a file is written to a store, and not visible yet",
    "outcome.taken": "a supervisor has read an outcome and not sent it to the server",
}

_name, _, _count = os.environ.get("GOPHER_CRASH_AT", "").partition(":")
#: The armed point; "" outside tests.
armed = _name
_left = int(_count or 1)


def reached(name: str) -> None:
    """Mark a point."""
    if armed and name == armed:
        _come_by()


def reached_by(verbs: Iterable[str], stage: str) -> None:
    """Mark a stage of calls of these scripts."""
    if armed:
        for verb in verbs:
            reached(f"{verb}.{stage}")


def names(verbs: Iterable[str]) -> list[str]:
    """Return the names of all points; `verbs` are those of the scripts."""
    return [f"{verb}.{stage}" for verb in verbs for stage in STAGES] + sorted(OTHERS)


def _come_by() -> None:
    global _left  # noqa: PLW0603 - a process counts for itself
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
