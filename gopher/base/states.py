"""The states of jobs, with predicates. This is the only list of them.

To add a state, add a row here. Scripts get the same tables (see `gopher.queue.facts`); templates, the CLI, the API and
metrics use the predicates below.
"""

from enum import Enum, StrEnum


class Kind(Enum):
    """What a job does in a state, which also decides where its id is stored."""

    #: Waits for a worker: in `next`, in the list of its priority, or in one of a throttled type.
    QUEUED = "queued"
    #: Waits for a time: in the sorted set named like the state.
    TIMED = "timed"
    #: Runs: in its worker's list.
    RUNNING = "running"
    #: Has ended permanently: in `finished`, until its record expires.
    FINISHED = "finished"
    #: Has ended, and stays in the sorted set named like the state until it is redriven, deleted or pruned.
    DEAD = "dead"


class State(StrEnum):
    """The state of a job: its name, kind, heading, colour and meaning."""

    kind: Kind
    #: Column heading of its figures.
    heading: str
    #: A terminal's name of the colour; the dashboard has a shade of each.
    colour: str
    meaning: str

    SCHEDULED = ("scheduled", Kind.TIMED, "Scheduled", "magenta", "Jobs scheduled for later.")
    PENDING = ("pending", Kind.QUEUED, "Waiting", "blue", "Jobs waiting for a worker.")
    PROCESSING = ("processing", Kind.RUNNING, "Running", "cyan", "Jobs that are running.")
    RETRYING = ("retrying", Kind.TIMED, "Retrying", "yellow", "Jobs waiting for their next attempt.")
    COMPLETED = ("completed", Kind.FINISHED, "Completed", "green", "Jobs completed.")
    FAILED = ("failed", Kind.DEAD, "Dead", "red", "Dead letters.")
    CANCELLED = ("cancelled", Kind.FINISHED, "Cancelled", "bright_black", "Jobs cancelled.")
    EXPIRED = ("expired", Kind.FINISHED, "Expired", "bright_black", "Jobs that expired before they started.")

    def __new__(cls, name: str, kind: Kind, heading: str, colour: str, meaning: str) -> "State":
        state = str.__new__(cls, name)
        state._value_ = name
        state.kind, state.heading, state.colour, state.meaning = kind, heading, colour, meaning
        return state


def _of(*kinds: Kind) -> tuple[State, ...]:
    return tuple(state for kind in kinds for state in State if state.kind is kind)


#: The states by name.
STATES = {state.value: state for state in State}

# Sets of plain strings, since a status may be that of a later version, or from a corrupt record.

#: The job waits for a worker or for its time.
WAITING: frozenset[str] = frozenset(_of(Kind.QUEUED, Kind.TIMED))
#: The job waits for a worker.
QUEUED: frozenset[str] = frozenset(_of(Kind.QUEUED))
#: The job waits and was never started, so it may expire.
UNSTARTED: frozenset[str] = frozenset({State.PENDING, State.SCHEDULED})
#: The job waits for another attempt.
BETWEEN_ATTEMPTS: frozenset[str] = frozenset(WAITING - UNSTARTED)
#: The job is running: a worker holds it, and it uses a slot of its type's concurrency.
RUNNING: frozenset[str] = frozenset(_of(Kind.RUNNING))
#: The job has ended: it does not leave the state by itself.
ENDED: frozenset[str] = frozenset(_of(Kind.FINISHED, Kind.DEAD))
#: The job has ended permanently; its record is deleted after its retention.
FINISHED: frozenset[str] = frozenset(_of(Kind.FINISHED))
#: The job has ended, and an operator may redrive it.
DEAD: frozenset[str] = frozenset(_of(Kind.DEAD))
#: The job has ended successfully: it has a result, and jobs that depend on it may run.
SUCCEEDED: frozenset[str] = frozenset({State.COMPLETED})
#: The job can be cancelled.
CANCELLABLE = WAITING | RUNNING

#: States whose jobs wait for a time, in a sorted set named like the state.
TIMED = _of(Kind.TIMED)
#: States whose jobs are in a sorted set named like the state.
IN_SORTED_SETS = _of(Kind.TIMED, Kind.DEAD)
#: States whose jobs an operator can purge.
PURGEABLE = _of(Kind.QUEUED, Kind.TIMED, Kind.DEAD)
#: States that have a figure of their own in a queue's stats.
COUNTED = _of(Kind.RUNNING, Kind.TIMED, Kind.DEAD)
