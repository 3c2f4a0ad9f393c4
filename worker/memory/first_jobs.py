"""What a type is taken to need while its first job still runs: nothing else is known of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from gopher.worker.children.handle import ChildHandle

#: Seconds after which what a job has grown by says something of its type.
_LONG = 2.0
#: Seconds without growth after which it does so earlier, if that is more than `_TELLING` bytes.
_STEADY, _TELLING = 0.5, 64 * 2**20
#: By what share it may grow all the same.
_STEADY_SHARE = 0.05


@dataclass(slots=True)
class _Growth:
    """What a child had when its job last grew or shrank notably, and when that was (monotonic s)."""

    resident: int
    at: float
    #: Which look at the child this is of: large ones are looked at rarely.
    look_at: float


class FirstJobs:
    """Follows the growth of jobs of unknown types."""

    def __init__(self) -> None:
        self._so_far: dict[str, int] = {}
        #: By the token of the job.
        self._growths: dict[str, _Growth] = {}

    def tells(self, job_type: str) -> bool:
        """Return whether a running job says something of its type."""
        return job_type in self._so_far

    def need(self, job_type: str) -> int | None:
        """Return what jobs of a type are taken to need: twice what one has grown by so far."""
        return max(2 * self._so_far[job_type], _TELLING) if job_type in self._so_far else None

    def look(self, children: Iterable[ChildHandle], now: float) -> None:
        """Note what the jobs of unknown types have grown by; `children` run them."""
        before, self._growths = self._growths, {}
        for child in children:
            running = child.jobs[0]
            growth = before.get(running.job.token)
            if growth is None or abs(child.resident - growth.resident) > growth.resident * _STEADY_SHARE:
                growth = _Growth(child.resident, now, child.look_at)
            self._growths[running.job.token] = growth
            # What its child had before says nothing of it.
            has_grown = child.resident - child.resident_before > _TELLING
            is_steady = has_grown and child.look_at > growth.look_at and now - growth.at >= _STEADY
            if is_steady or now - running.started >= _LONG:
                self._so_far[running.job.type] = max(child.grown, self._so_far.get(running.job.type, 0))

    def forget(self, job_type: str) -> None:
        """Forget what is known of a type now."""
        self._so_far.pop(job_type, None)
