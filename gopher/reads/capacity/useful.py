"""How many processes of a worker can work at a time: its cores, or its memory, may not be enough for all."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gopher.jobs.capacity import TypeLoad
from gopher.jobs.models import WorkerMemory

from .groups import Group


class Useful(NamedTuple):
    """How many, and what they use all of: nothing if all processes can work."""

    processes: float
    bound: str = ""


def useful(group: Group, types: Sequence[TypeLoad], classes: Mapping[str, Mapping[int, float]]) -> Useful:
    """Return how many can work on jobs of these types, of which `classes` has the share of each class of files."""
    weights = [(each.arrivals * each.run or (each.waiting + each.running) * each.run, each) for each in types]
    total = sum(weight for weight, _ in weights)
    if not total:
        return Useful(group.per_worker)
    by_cores = _by_cores(group, [(weight / total, each) for weight, each in weights])

    def part_of_room(memory: WorkerMemory) -> float:
        """Return which part of its memory a job takes on average."""
        return sum(weight * _part(memory, each.type, classes.get(each.type, {})) for weight, each in weights) / total

    by_memory = _by_memory(group, part_of_room)
    if min(by_cores, by_memory) >= group.per_worker:
        return Useful(group.per_worker)
    if by_memory < by_cores:
        return Useful(by_memory, "memory for jobs")
    return Useful(by_cores, f"{group.cores_per_worker:.3g} cores")


def _by_cores(group: Group, weights: Sequence[tuple[float, TypeLoad]]) -> float:
    cores = group.cores_per_worker
    share = sum(weight * min((each.cpu or 0.0) / each.run, cores) for weight, each in weights if each.run)
    return min(group.per_worker, cores / share) if share > 0 else group.per_worker


def _by_memory(group: Group, part_of_room: Callable[[WorkerMemory], float]) -> float:
    """Return for how many there is memory: the mean of the workers."""
    fits = []
    for worker in group.workers:
        part = 0.0 if worker.admission is None else part_of_room(worker.admission)
        most = len(worker.children) or group.per_worker
        fits.append(min(most, 1 / part) if part else most)
    return sum(fits) / len(fits) if fits else group.per_worker


def _part(memory: WorkerMemory, job_type: str, classes: Mapping[int, float]) -> float:
    """Return which part of the room a job of a type takes on average, so that only whole ones fit: 1/3 of 40 %."""

    def part(need: int) -> float:
        return 1 / max(memory.room // need, 1) if need else 0.0

    by_files = sum(share * part(memory.needs.get(f"{job_type}/{each}", 0)) for each, share in classes.items())
    return by_files + max(1 - sum(classes.values()), 0.0) * part(memory.needs.get(job_type, 0))
