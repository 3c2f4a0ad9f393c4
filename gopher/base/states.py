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
    #: Has ended, and stays in the sorted set that has the state's name, until an operator or age takes it away.
    DEAD = "dead"


class State(StrEnum):
    """Where a job is: name, kind, and colour (of a terminal; the dashboard has a style of the name)."""

    kind: Kind
    colour: str

    SCHEDULED = ("scheduled", Kind.TIMED, "blue")
    PENDING = ("pending", Kind.QUEUED, "")
    PROCESSING = ("processing", Kind.RUNNING, "cyan")
    RETRYING = ("retrying", Kind.TIMED, "yellow")
    COMPLETED = ("completed", Kind.FINISHED, "green")
    FAILED = ("failed", Kind.DEAD, "red")
    CANCELLED = ("cancelled", Kind.FINISHED, "bright_black")
    EXPIRED = ("expired", Kind.FINISHED, "bright_black")

    def __new__(cls, name: str, kind: Kind, colour: str) -> "State":
        state = str.__new__(cls, name)
        state._value_ = name
        state.kind = kind
        state.colour = colour
        return state


#: The states by their names.
STATES = {state.value: state for state in State}


def _of(*kinds: Kind) -> tuple[State, ...]:
    return tuple(state for state in State if state.kind in kinds)


# A status that is asked about may be any text: of a later version, or of a corrupt record. So these are plain sets.

#: The job waits for a worker or for its time.
WAITING: frozenset[str] = frozenset(_of(Kind.QUEUED, Kind.TIMED))
#: The job has started and not ended: it holds a place of a limited concurrency, and its worker holds it.
RUNNING: frozenset[str] = frozenset(_of(Kind.RUNNING))
#: The job does not leave the state by itself: whoever waits for its end has waited long enough.
ENDED: frozenset[str] = frozenset(_of(Kind.FINISHED, Kind.DEAD))
#: The job has ended for good; its record is deleted after its retention.
FINISHED: frozenset[str] = frozenset(_of(Kind.FINISHED))
#: The job has ended, and an operator may redrive it.
DEAD: frozenset[str] = frozenset(_of(Kind.DEAD))
#: The job has ended as it should have: those that depend on it may run.
SUCCEEDED: frozenset[str] = frozenset({State.COMPLETED})
#: The job can be cancelled.
CANCELLABLE = WAITING | RUNNING
#: The job waits and has never been started, so that it may be too late to start it.
UNSTARTED: frozenset[str] = frozenset({State.PENDING, State.SCHEDULED})

#: The states whose jobs stand in a sorted set of the state's name by the time that they wait for.
TIMED = _of(Kind.TIMED)
#: The states whose jobs an operator may delete all at once.
PURGEABLE = _of(Kind.QUEUED, Kind.TIMED, Kind.DEAD)
