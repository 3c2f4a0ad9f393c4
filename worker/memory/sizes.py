"""What jobs need in memory, learned from earlier ones of their type, and of their class of files.

A need is what a child grows by: the peak of its resident memory, less what a fresh child has. Figures of all workers
come from the server; the last jobs of this worker count before them, since a new release may need less.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from gopher.reads.histogram import Memory, memory_by_files, memory_of

#: Jobs of a class that are remembered here, and how many of them are enough to forget the server's figures.
_KEPT, _ENOUGH = 20, 5
_SHARE = 0.95
#: What is added to the needs of fewer jobs, as a share that is divided by their number.
_CAUTION = 0.1


@dataclass(slots=True)
class _Class:
    """Jobs of a type whose files are of a class."""

    #: What the last ones have needed here.
    own: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    #: How many others had, by queue, with the 95th percentile of their peaks.
    others: dict[str, Memory] = field(default_factory=dict)

    def need(self, fresh: int) -> int | None:
        """Return the need, None if it is not known; `fresh` is what a fresh child has resident."""
        count = len(self.own)
        known = [sorted(self.own)[math.ceil(_SHARE * count) - 1]] if count else []
        if count < _ENOUGH:
            told = [figure for figure in self.others.values() if figure.p95 is not None]
            known += [max((figure.p95 or 0) - fresh, 0) for figure in told]
            count += sum(figure.count for figure in told)
        if not known:
            return None
        return round(max(known) * (1 + _CAUTION / count)) if count < _ENOUGH else max(known)


class Sizes:
    """What is known of the types of a worker's jobs."""

    def __init__(self) -> None:
        #: Bytes that a child without a job has resident.
        self.fresh = 0
        #: Types with jobs that were too short to be measured.
        self._short: set[str] = set()
        self._types: dict[str, dict[int, _Class]] = {}
        self._needs: dict[tuple[str, int], int | None] = {}

    def knows(self, job_type: str) -> bool:
        return job_type in self._types or job_type in self._short

    def need(self, job_type: str, file_class: int = 0) -> int | None:
        """Return the bytes that a job needs, None if nothing is known of its type."""
        key = (job_type, file_class)
        if key not in self._needs:
            self._needs[key] = self._find(job_type, file_class)
        return self._needs[key]

    def most(self, job_type: str) -> int | None:
        """Return the bytes that the largest jobs of a type need."""
        needs = [need for file_class in self._types.get(job_type, ()) if (need := self.need(job_type, file_class))]
        return max(needs, default=self.need(job_type))

    def needs(self) -> dict[str, int]:
        """Return what the largest jobs of each type need, and those with files of each class: `transcode/17`.

        Jobs without files are of class 0; types that have no others are not divided.
        """
        found = {name: self.most(name) for name in self._types}
        found |= {
            f"{name}/{each}": self.need(name, each)
            for name, classes in self._types.items()
            for each in (classes if any(classes) else ())
        }
        return {name: need for name, need in found.items() if need is not None}

    def known(self) -> set[str]:
        """Return the types of which something is known."""
        return {*self._types, *self._short}

    def saw(self, job_type: str, file_class: int, need: int) -> None:
        """Note what a job has needed."""
        self._class(job_type, file_class).own.append(need)
        self._forget(job_type)

    def saw_short(self, job_type: str) -> None:
        """Note that a job was too short to be measured."""
        if job_type not in self._short:
            self._short.add(job_type)
            self._forget(job_type)

    def take(self, queue: str, job_type: str, fields: Mapping[str, int]) -> None:
        """Take the server's figures of a type in a queue: `latencies:<type>`."""
        figures = {0: memory_of(fields), **memory_by_files(fields)}
        for file_class, figure in figures.items():
            if figure.count:
                self._class(job_type, file_class).others[queue] = figure
        if any(field.startswith("run:") for field in fields):
            self._short.add(job_type)
        self._forget(job_type)

    def _class(self, job_type: str, file_class: int) -> _Class:
        return self._types.setdefault(job_type, {}).setdefault(file_class, _Class())

    def _forget(self, job_type: str) -> None:
        for key in [key for key in self._needs if key[0] == job_type]:
            del self._needs[key]

    def _find(self, job_type: str, file_class: int) -> int | None:
        of_type = self._types.get(job_type, {})
        if file_class and (found := self._by_files(of_type, file_class)) is not None:
            return found
        needs = [of_type[0].need(self.fresh)] if 0 in of_type else []
        if needs and needs[0] is not None:
            return needs[0]
        return 0 if job_type in self._short else None

    def _by_files(self, of_type: Mapping[int, _Class], file_class: int) -> int | None:
        """Return the need of jobs with such files: that of the next larger ones that are known, or an estimate."""
        needs = {each: need for each in of_type if each and (need := of_type[each].need(self.fresh)) is not None}
        larger = min((each for each in needs if each >= file_class), default=None)
        if larger is not None:
            return needs[larger]
        smaller = max(needs, default=None)
        # Two classes a doubling: memory is taken to grow with the files.
        return None if smaller is None else round(needs[smaller] * 2 ** ((file_class - smaller) / 2))
