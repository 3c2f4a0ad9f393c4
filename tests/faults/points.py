"""Which process comes by each crash point, what must be there for it to do so, and what may be seen afterwards.

A point belongs to the process that really makes the step: a worker, one of its children, a scheduler, or the API.
The steps of operators' calls are made by a client that is killed in the middle (`one_call`); so is any script that
is new. In each case others go on: what was accepted ends, and invariants hold.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from gopher.client import Client
from gopher.jobs.job import new_job_id
from gopher.jobs.schedule import ScheduleSpec, tick_job
from tests.helpers import wait_until
from tests.seeding import SeedingWorker
from tests.worker.processes import Process

Ids = list[str]


@dataclass(frozen=True)
class Plan:
    """What brings a process to a point. `seed` runs before it starts, `poke` once it is there; both return ids."""

    seed: Callable[[Client, str], Ids] = lambda client, queue: []
    poke: Callable[[Client, str, Process, Ids], Ids] | None = None
    #: How the jobs end.
    state: str = "completed"
    #: How often a handler may begin, at most; one more where the plan itself has it fail first.
    runs: int = 2


def _job(job_type: str, **payload: Any) -> Callable[[Client, str], Ids]:
    return lambda client, queue: [client.enqueue(job_type, payload, queue=queue)]


def _ring(client: Client, queue: str, worker: Process, ids: Ids) -> Ids:
    """Submit a job to an idle worker. The first ones may come before it listens; those it finds by a fetch."""
    made: Ids = []
    while worker.running and len(made) < 20:
        made.append(client.enqueue("faults.work", {}, queue=queue))
        wait_until(lambda: not worker.running or client.job(made[-1]).status == "completed")
    return made


def _cancel(client: Client, queue: str, worker: Process, ids: Ids) -> Ids:
    wait_until(lambda: client.job(ids[0]).status == "processing" or not worker.running)
    if worker.running:
        client.cancel(ids[0])
    return []


def _tell_to_leave(client: Client, queue: str, worker: Process, ids: Ids) -> Ids:
    worker.send(signal.SIGTERM)
    return []


_WORK = _job("faults.work")

#: Verbs and other points that a worker's supervisor comes by.
SUPERVISOR: dict[str, Plan] = {
    "fetch": Plan(_WORK, runs=1),
    "complete": Plan(_WORK),
    "heartbeat": Plan(_WORK),
    "report": Plan(_job("faults.chatter", seconds=2.5)),
    "retry": Plan(_job("faults.stumble", how="retry"), runs=3),
    "requeue": Plan(_job("faults.stumble", how="snooze"), runs=3),
    "throttle": Plan(_job("faults.stumble", how="rate_limited"), runs=3),
    "dead_letter": Plan(
        lambda client, queue: [client.enqueue("faults.stumble", {"how": "error"}, queue=queue, max_retries=0)],
        state="failed",
    ),
    "cancelled": Plan(_job("faults.chatter", seconds=30), _cancel, state="cancelled"),
    "resign": Plan(poke=_tell_to_leave),
    "pop.answered": Plan(poke=_ring, runs=1),
    "job.given": Plan(_WORK),
    "outcome.taken": Plan(_WORK),
}
#: Points that a child comes by.
CHILD: dict[str, Plan] = {
    "job.taken": Plan(_WORK, runs=1),
    "job.run": Plan(_WORK),
    "outcome.sent": Plan(_WORK, runs=1),
    "file.half": Plan(_job("faults.attach")),
    "file.written": Plan(_job("faults.attach")),
}
#: Points of the above after which the job is not run again: its result was in safe hands.
SETTLED = frozenset({"complete.after_send", "complete.after_reply"})


def _due_soon(client: Client, queue: str) -> Ids:
    return [client.enqueue("faults.work", {}, queue=queue, delay="5ms")]


def _held_by_a_dead_worker(client: Client, queue: str) -> Ids:
    job_id = client.enqueue("faults.work", {}, queue=queue)
    worker = SeedingWorker(client, queue, name=f"dead-{new_job_id()[-6:]}")
    worker.fetch()
    worker.beat(0.001)
    return [job_id]


def _too_many_dead(client: Client, queue: str) -> Ids:
    worker = SeedingWorker(client, queue, name=f"undertaker-{new_job_id()[-6:]}")
    for _ in range(3):
        client.enqueue("faults.work", {}, queue=queue)
        worker.dead_letter(worker.fetch()[0])
    client.server.run(worker.queue.resign(worker.name))
    return []


def _retried_by_and_by(client: Client, queue: str) -> Ids:
    worker = SeedingWorker(client, queue, name=f"undertaker-{new_job_id()[-6:]}")
    job_id = client.enqueue("faults.work", {}, queue=queue)
    worker.dead_letter(worker.fetch()[0])
    client.server.run(worker.queue.resign(worker.name))
    client.dead_letters.retry_gradually(queue=queue, canary=1)
    return [job_id]


def schedule_due(client: Client, queue: str) -> Ids:
    """A schedule that is due now; its job has a known id.

    Once a year: of times that were missed the latest is made up for, and that shall still be this one when honest
    processes come, however long that takes.
    """
    name = f"once-a-year-{queue}"
    spec = ScheduleSpec(cron_expression="0 0 1 1 *", type="faults.work", payload=msgspec.Raw(b"{}"), queue=queue)
    due = client.inspector.now() // 1000 * 1000
    client.server.register_queues(queue)
    client.server.run(client.server.queue(queue).set_schedule(name, spec.definition(), due))
    return [tick_job(spec, name, client.settings.namespace, due).id]


def _waits_for_a_batch(client: Client, queue: str) -> Ids:
    """A job that waits for a batch: its end is counted, and told back. Its only job has ended."""
    with client.batch(queue=queue) as batch:
        batch.enqueue("faults.work", {}, queue=queue)
    worker = SeedingWorker(client, queue, name=f"member-{new_job_id()[-6:]}")
    worker.complete(worker.fetch())
    client.server.run(worker.queue.resign(worker.name))
    return [client.enqueue("faults.work", {}, queue=queue, after={"batch": batch.id})]


SCHEDULER: dict[str, Plan] = {
    "relay": Plan(_waits_for_a_batch, runs=1),
    "relayed": Plan(_waits_for_a_batch, runs=1),
    "count_jobs": Plan(_waits_for_a_batch, runs=1),
    "follow": Plan(_waits_for_a_batch, runs=1),
    "release_children": Plan(_waits_for_a_batch, runs=1),
    "continue_batches": Plan(_waits_for_a_batch, runs=1),
    "promote": Plan(_due_soon, runs=1),
    "rescue": Plan(_held_by_a_dead_worker, runs=1),
    "prune": Plan(_too_many_dead),
    "continue_redrives": Plan(_retried_by_and_by, runs=1),
    "sample": Plan(_due_soon, runs=1),
    "survey": Plan(_due_soon, runs=1),
    "due_ticks": Plan(schedule_due, runs=1),
    "tick": Plan(schedule_due, runs=1),
}
#: Verbs that the API comes by, when somebody submits.
API = frozenset({"enqueue"})


def who(name: str) -> str:
    """Return which process is killed at a point."""
    verb = name.partition(".")[0]
    for kind, plans in (("supervisor", SUPERVISOR), ("child", CHILD), ("scheduler", SCHEDULER), ("api", API)):
        if name in plans or verb in plans:
            return kind
    return "client"


def queue_of(name: str) -> str:
    """Return the queue in which a point is tried."""
    return name.replace(".", "-")


def plan(name: str) -> Plan:
    every = {**SUPERVISOR, **CHILD, **SCHEDULER}
    return every.get(name) or every[name.partition(".")[0]]


def wait_for_death(process: Process, timeout: float = 60.0) -> bool:
    """Return whether a process was killed in time by the point that was armed in it."""
    until = time.monotonic() + timeout
    while process.running and time.monotonic() < until:
        time.sleep(0.02)
    return not process.running and process.wait() == -signal.SIGKILL
