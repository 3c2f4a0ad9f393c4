"""The calls of batches and of `after` across queues that have something to do (see `calls`)."""

from collections.abc import Callable
from typing import Any

from gopher.jobs.job import NewJob, new_job_id
from gopher.server.calls import Call

#: A `calls.Stage`.
Stage = Any


def _batch(stage: Stage, jobs: int = 2) -> tuple[str, list[str]]:
    """Create a batch of jobs that are stored; return its id and theirs."""
    batch_id, ids = new_job_id(), [new_job_id() for _ in range(jobs)]
    stage.run(stage.queue.create_batch(batch_id, 600.0, {"on_complete": "{}", "queue_complete": "other"}))
    # As if they were in another queue, whose name is the same in each run.
    stage.run(stage.queue.join_batch(batch_id, [(job_id, "other", "t") for job_id in ids]))
    tells = (f"batch {stage.queue.name} {batch_id}",)
    stage.run(stage.queue.enqueue([NewJob(job_id, "t", b"{}", tells=tells) for job_id in ids]))
    return batch_id, ids


def _posted(stage: Stage) -> str:
    """Have something posted for another queue; return its name."""
    stage.put(2, tells=("batch other b1",))
    stage.run(stage.queue.purge("pending"))
    return "other"


def _relayed(stage: Stage) -> Call:
    to = _posted(stage)
    return stage.queue.relayed(to, stage.run(stage.queue.relay()).entries[to][:1])


def _counted(stage: Stage) -> Call:
    batch_id, ids = _batch(stage)
    stage.run(stage.queue.seal_batch(batch_id))
    return stage.queue.count_jobs([(batch_id, job_id, "completed", 0, "other") for job_id in ids])


def _left(stage: Stage) -> Call:
    batch_id, ids = _batch(stage)
    return stage.queue.leave_batch(batch_id, ids[:1])


def _continued(stage: Stage) -> Call:
    batch_id, _ = _batch(stage)
    stage.run(stage.queue.walk_batch(batch_id, "cancel"))
    return stage.queue.continue_batches()


def _probed(stage: Stage) -> Call:
    # What it posts of jobs that have ended is posted again by a repeat, and counts once.
    batch_id, ids = _batch(stage)
    return stage.queue.probe(stage.queue.name, batch_id, ids)


def _released(stage: Stage) -> Call:
    parent = new_job_id()
    stage.put(2, after=(parent,), remote_parents=((parent, "other"),))
    return stage.queue.release_children(parent, "completed", "1", 60_000)


SEEDS: dict[str, Callable[[Stage], Call]] = {
    "continue_batches": _continued,
    "count_jobs": _counted,
    "create_batch": lambda stage: stage.queue.create_batch(new_job_id(), 600.0, {"name": "n"}),
    "follow": lambda stage: stage.queue.follow("other", [(job_id, 0) for job_id in stage.put(2)]),
    "join_batch": lambda stage: stage.queue.join_batch(_batch(stage)[0], [(new_job_id(), stage.queue.name, "t")]),
    "leave_batch": _left,
    "probe": _probed,
    "relay": lambda stage: stage.queue.relay(_posted(stage) and 5),
    "relayed": _relayed,
    "release_children": _released,
    "seal_batch": lambda stage: stage.queue.seal_batch(_batch(stage)[0]),
    "walk_batch": lambda stage: stage.queue.walk_batch(_batch(stage)[0], "cancel"),
}
