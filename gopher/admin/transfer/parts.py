"""What an export consists of, and in which order."""

from collections.abc import Collection

from gopher.base.priorities import PRIORITIES
from gopher.base.states import DEAD, FINISHED, RUNNING, TIMED, State
from gopher.queue.keys import QueueKeys

#: Part -> its meaning: what may be omitted. Jobs that have not ended are always included.
PARTS = {
    "dead": "dead letters",
    "finished": "records of finished jobs, with their results",
    "batches": "batches: names, callbacks, which jobs they count",
    "schedules": "schedules",
    "limits": "limits and pauses of job types that operators have set",
    "tenants": "what operators have set for tenants",
    "pauses": "pauses of queues",
    "requests": "idempotency keys of the last 24 hours",
    "keys": "API keys: hashes, names and roles",
    "webhooks": "webhooks and the secret of callbacks: with the secrets, so that receivers need not change",
}

#: The places of a queue's jobs, in the order of the export. An imported job may start at once. So results come before
#: the jobs that read them, and jobs that wait for others (the last of `scheduled`, which is read from its end) before
#: those. Jobs that may run are in the order in which they would: running ones, then the head of the queue.
PLACES: tuple[str, ...] = (
    QueueKeys.finished.head,
    *(state for state in State if state in DEAD),
    *TIMED,
    *(state for state in State if state in RUNNING),
    QueueKeys.next.head,
    *(QueueKeys.parked.head + priority for priority in PRIORITIES),
    *(QueueKeys.pending.head + priority for priority in PRIORITIES),
)


def part_of_state(state: str) -> str | None:
    """Return the part to which jobs in a state belong; None if they are always included."""
    if state in FINISHED:
        return "finished"
    return "dead" if state in DEAD else None


def places_of(names: Collection[str], without: Collection[str]) -> list[str]:
    """Return those of a queue's places that are exported, in order."""
    return [place for place in PLACES if place in names and part_of_state(_state(place)) not in without]


def _state(place: str) -> str:
    return State.COMPLETED if place == QueueKeys.finished.head else place
