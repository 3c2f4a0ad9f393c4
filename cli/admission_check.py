"""`doctor`'s check of memory: job types that need more than any worker has."""

from gopher.interface import Gopher
from gopher.reads.memory_reasons import in_mib, too_large

from .checks import Check, Finding


def admission_check(gopher: Gopher) -> Check:
    """Find types whose jobs never fit: they run alone, and may be killed."""
    workers = gopher.workers()
    admitting = [worker.admission for worker in workers if worker.admission is not None]
    findings = [
        Finding(
            f"jobs of type {job_type!r} need {in_mib(need)}, and no worker has more than {in_mib(room)} for jobs",
            "Give a worker more memory (WORKER_MEMORY, or its container's limit), or split these jobs up.",
        )
        for job_type, need, room in too_large(workers)
    ]
    held = sum(len(memory.held) for memory in admitting)
    return Check("admission", f"{len(admitting)} workers admit jobs by memory, {held} jobs wait for it", findings)
