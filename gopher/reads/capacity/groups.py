"""Groups of workers: those that serve the same queues are scaled together, like a line of the Procfile."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gopher.jobs.models import WorkerView

#: What a worker is expected to have if none is running: processes and cores.
_PROCESSES, _CORES = 5, 0


class Group(NamedTuple):
    """Workers that fetch jobs from the same queues; none if the queues have no worker.

    Those that are `leaving`, quiet or stopping, still run jobs.
    """

    name: str
    queues: tuple[str, ...]
    workers: tuple[WorkerView, ...]
    leaving: tuple[WorkerView, ...] = ()

    @property
    def processes(self) -> int:
        return sum(len(worker.children) for worker in self.workers)

    @property
    def per_worker(self) -> float:
        return self.processes / len(self.workers) if self.processes else _PROCESSES

    @property
    def cores_per_worker(self) -> float:
        """Cores of each worker, 0 if they are not known."""
        known = [worker.cores for worker in self.workers]
        return sum(known) / len(known) if known and all(known) else _CORES

    def highest(self, is_kept: Callable[[WorkerView], bool]) -> int:
        """Return the highest number of a dyno that is to be kept, 0 without any: Heroku stops the highest ones."""
        numbers = (_number(worker.process) for worker in (*self.workers, *self.leaving) if is_kept(worker))
        return max(numbers, default=0)


def group_workers(workers: Sequence[WorkerView], queues: Iterable[str], internal: str) -> list[Group]:
    """Return the groups of the workers that fetch jobs, and one for each of the queues without worker.

    The queue of webhooks, which workers serve in addition, makes no group of its own.
    """
    by_queues: dict[tuple[str, ...], list[WorkerView]] = {}
    leaving: dict[tuple[str, ...], list[WorkerView]] = {}
    for worker in workers:
        if not worker.corrupt:
            served = tuple(sorted(set(worker.queues) - {internal})) or (internal,)
            (by_queues if worker.state == "running" else leaving).setdefault(served, []).append(worker)
    served_queues = {queue for worker in workers if worker.state == "running" for queue in worker.queues}
    # Workers that all leave are a group as long as no other one serves any of their queues.
    left = [each for each in sorted(leaving) if not served_queues.intersection(each)]
    served_queues.update(queue for each in left for queue in each)
    unserved = [(queue,) for queue in sorted(set(queues) - served_queues)]
    sets = [*sorted(by_queues, key=lambda each: (len(by_queues[each]) * -1, each)), *left, *unserved]
    taken: set[str] = set()
    groups = []
    for each in sets:
        found, going = tuple(by_queues.get(each, ())), tuple(leaving.get(each, ()))
        name = _name(each, found or going)
        name = "+".join(each) if name in taken else name
        taken.add(name)
        # A line of the Procfile that serves other queues since a release has the same dynos.
        going += tuple(
            worker for other in leaving if other != each for worker in leaving[other] if _line(worker) == name
        )
        groups.append(Group(name, each, found, going))
    return groups


def homes(groups: Iterable[Group]) -> dict[str, Group]:
    """Return the group that each queue counts for: of those that serve it, the one with the fewest queues."""
    found: dict[str, Group] = {}
    for group in groups:
        served = {queue for worker in group.workers for queue in worker.queues}
        for queue in served.union(group.queues):
            found[queue] = min(found.get(queue, group), group, key=lambda each: (len(each.queues), -each.processes))
    return found


def _name(queues: Sequence[str], workers: Sequence[WorkerView]) -> str:
    """Return the platform's name for these workers, else one by their queues."""
    names = {_line(worker) for worker in workers}
    if len(names) == 1 and (name := names.pop()):
        return name
    return "worker" if "default" in queues else queues[0]


def _line(worker: WorkerView) -> str:
    """Return the line of the Procfile that a worker was started from, "" if it has none."""
    return worker.process.rpartition(".")[0]


def _number(process: str) -> int:
    number = process.rpartition(".")[2]
    return int(number) if number.isdecimal() and len(number) < 6 else 0
