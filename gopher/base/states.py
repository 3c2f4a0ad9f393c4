"""The states of jobs, and what may be asked about one: the only place where they are listed.

To add a state is to add a row here. Scripts are given the same tables (see `gopher.queue.facts`); templates, the CLI,
the API and metrics ask the predicates below.
"""

from enum import Enum, StrEnum


class Kind(Enum):
    """What a job does in a state, and with that where its id is kept."""

    #: Waits for a worker: in `next`, a list of a priority, or one of a throttled type.
    QUEUED = "queued"
    #: Waits for a time: in the sorted set that has the state's name.
    TIMED = "timed"
    #: Runs: in its worker's list.
    RUNNING = "running"
    #: Has ended for good: in `finished`, as long as its record is kept.
    FINISHED = "finished"
    #: Has ended, and stays in the sorted set that has the state's name until an operator or its age takes it away.
    DEAD = "dead"


class State(StrEnum):
    """Where a job is: its name, what kind of state it is, how people are shown it, and which jobs are in it."""

    kind: Kind
    #: The word above its figures.
    heading: str
    #: As terminals call it; the dashboard has a tone of each.
    colour: str
    meaning: str

    SCHEDULED = ("scheduled", Kind.TIMED, "Scheduled", "magenta", "Jobs whose time has not come.")
    PENDING = ("pending", Kind.QUEUED, "Waiting", "blue", "Jobs that wait for a worker.")
    PROCESSING = ("processing", Kind.RUNNING, "Running", "cyan", "Jobs that run.")
    RETRYING = ("retrying", Kind.TIMED, "Retrying", "yellow", "Jobs that wait for another attempt.")
    COMPLETED = ("completed", Kind.FINISHED, "Completed", "green", "Jobs that ended well.")
    FAILED = ("failed", Kind.DEAD, "Dead", "red", "Dead letters.")
    CANCELLED = ("cancelled", Kind.FINISHED, "Cancelled", "bright_black", "Jobs that were cancelled.")
    EXPIRED = ("expired", Kind.FINISHED, "Expired", "bright_black", "Jobs that were too late to start.")

    def __new__(cls, name: str, kind: Kind, heading: str, colour: str, meaning: str) -> "State":
        state = str.__new__(cls, name)
        state._value_ = name
        state.kind, state.heading, state.colour, state.meaning = kind, heading, colour, meaning
        return state


def _of(*kinds: Kind) -> tuple[State, ...]:
    return tuple(state for kind in kinds for state in State if state.kind is kind)


#: The states by their names.
STATES = {state.value: state for state in State}

# What is asked about may be any text, of a later version or from a corrupt record: so these are sets of names.

#: The job waits for a worker or for its time.
WAITING: frozenset[str] = frozenset(_of(Kind.QUEUED, Kind.TIMED))
#: The job waits for a worker.
QUEUED: frozenset[str] = frozenset(_of(Kind.QUEUED))
#: The job waits and has never been started, so it may be too late to start it.
UNSTARTED: frozenset[str] = frozenset({State.PENDING, State.SCHEDULED})
#: The job waits and has been started: for another attempt.
BETWEEN_ATTEMPTS: frozenset[str] = frozenset(WAITING - UNSTARTED)
#: The job runs: a worker holds it, and it takes up a place of its type's concurrency.
RUNNING: frozenset[str] = frozenset(_of(Kind.RUNNING))
#: The job does not leave the state by itself: whoever waits for its end has waited long enough.
ENDED: frozenset[str] = frozenset(_of(Kind.FINISHED, Kind.DEAD))
#: The job has ended for good; its record is deleted after its retention.
FINISHED: frozenset[str] = frozenset(_of(Kind.FINISHED))
#: The job has ended, and an operator may redrive it.
DEAD: frozenset[str] = frozenset(_of(Kind.DEAD))
#: The job has ended as it should: it has a result, and those that depend on it may run.
SUCCEEDED: frozenset[str] = frozenset({State.COMPLETED})
#: The job can be cancelled.
CANCELLABLE = WAITING | RUNNING

#: The states whose jobs stand by a time in a sorted set of the state's name, those that wait for it.
TIMED = _of(Kind.TIMED)
#: The states whose jobs stand in a sorted set of the state's name.
IN_SORTED_SETS = _of(Kind.TIMED, Kind.DEAD)
#: The states whose jobs an operator may delete all at once.
PURGEABLE = _of(Kind.QUEUED, Kind.TIMED, Kind.DEAD)
#: The states whose jobs are counted in a queue's figures, beside what waits.
COUNTED = _of(Kind.RUNNING, Kind.TIMED, Kind.DEAD)
