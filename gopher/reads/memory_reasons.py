"""Why a job waits for memory, by what workers say of themselves, and which types need more than any of them has."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from gopher.base.latencies import file_class
from gopher.jobs.job import died_of_memory, read_envelope
from gopher.jobs.models import Reason, WorkerMemory, WorkerView

from .memory_wait import Wait, wait_for_memory


def memory_reason(workers: Collection[WorkerView], record: Mapping[str, str]) -> Reason | None:
    """Return why none of the workers of a job's type has memory for it now, None if one has."""
    job_type = record["type"]
    admitting = _admitting(workers, job_type)
    if not admitting:
        return None
    held = _wait(record)
    files = read_envelope(record.get("envelope", "").encode()).files.values()
    of_files = file_class(sum(file.size for file in files))
    needs = [held.needs if held is not None else _need(memory.needs, job_type, of_files) for memory in admitting]
    if any(need <= memory.free for need, memory in zip(needs, admitting, strict=True)):
        return None
    free = [memory.free for memory in admitting]
    at_most = "at most " if len({each >> 20 for each in free}) > 1 else ""
    return Reason("memory", f"needs {in_mib(min(needs))}, {at_most}{in_mib(max(free))} free on each worker")


def held_reason(worker: str, record: Mapping[str, str]) -> Reason:
    """Return what a job waits for that `is_held`."""
    if died_of_memory(record.get("crashes", "")):
        what = "no other job runs there: it was killed for lack of memory before"
    else:
        what = "there is memory for it; jobs that have waited for longer may start before it"
    return Reason("held", f"the worker {worker} holds it until {what}")


def is_held(record: Mapping[str, str]) -> bool:
    """Return whether a job's record says that it waits for memory in its worker."""
    wait = _wait(record)
    return wait is not None and wait.until is None


def _need(needs: Mapping[str, int], job_type: str, of_files: int) -> int:
    """Return what a worker says that a job with files of a class needs: as those with the next larger ones."""
    named = ((name.removeprefix(f"{job_type}/"), need) for name, need in needs.items())
    classes = {int(name): need for name, need in named if name.isdecimal() and name.isascii()}
    larger = min((each for each in classes if each >= of_files > 0 or each == of_files), default=None)
    return needs.get(job_type, 0) if larger is None else classes[larger]


def _wait(record: Mapping[str, str]) -> Wait | None:
    return wait_for_memory(record.get("memory_wait", "").encode(), record.get("token", "").encode())


def too_large(workers: Sequence[WorkerView]) -> Iterator[tuple[str, int, int]]:
    """Yield types whose jobs need more than any worker that runs them has for jobs: what they need, and the most."""
    for job_type in sorted({name for worker in workers for name in worker.types}):
        admitting = _admitting(workers, job_type)
        needs = [memory.needs.get(job_type, 0) for memory in admitting]
        if admitting and all(need > memory.room for need, memory in zip(needs, admitting, strict=True)):
            yield job_type, min(needs), max(memory.room for memory in admitting)


def in_mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _admitting(workers: Collection[WorkerView], job_type: str) -> list[WorkerMemory]:
    """Return the memory of the workers of a type; nothing if one of them starts jobs whatever they need."""
    found = [worker.admission for worker in workers if job_type in worker.types]
    return [memory for memory in found if memory is not None] if None not in found else []
