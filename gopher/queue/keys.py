"""Every key that Gopher stores on the server. This is the only list of them.

`<ns>:` is the namespace of an installation. P is `<ns>:{<queue>}:`, and its braces make a queue one slot of a cluster.
Scripts get the names as KEY.pending, KEY.scheduled, ... (see `facts`).
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, Self, TypeVar, overload

T = TypeVar("T")


class Drawn(NamedTuple):
    """A key without its prefix, for people: `pending:<priority>`, its type, its content."""

    shape: str
    kind: str
    meaning: str

    @property
    def head(self) -> str:
        """The constant part at its beginning."""
        return self.shape.partition("<")[0]


class _Prefixed:
    """A set of keys with a common prefix: each is an attribute, made on first use and kept."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix


class _Declared(Generic[T]):
    """Declares a key, or a family of keys. `make` gets the beginning of the key and returns the attribute's value."""

    def __init__(self, make: Callable[[str], T], kind: str, meaning: str, shape: str = "") -> None:
        self._make = make
        self._row = (kind, meaning)
        self._shape = shape

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.drawn = Drawn(self._shape or name, *self._row)
        #: The beginning of the key, without its prefix.
        self.head = self.drawn.head

    @overload
    def __get__(self, keys: None, owner: type) -> Self: ...
    @overload
    def __get__(self, keys: _Prefixed, owner: type) -> T: ...
    def __get__(self, keys: _Prefixed | None, owner: type) -> Self | T:
        if keys is None:
            return self
        made = self._make(keys.prefix + self.head)
        # From now on the attribute is found there, without this method.
        vars(keys)[self._name] = made
        return made


def _key(kind: str, meaning: str) -> _Declared[str]:
    """Declare a key named like its attribute."""
    return _Declared(str, kind, meaning)


def _key_of(shape: str, kind: str, meaning: str) -> _Declared[Callable[[str | int], str]]:
    """Declare a family of keys with one parameter."""
    return _Declared(lambda head: lambda part: f"{head}{part}", kind, meaning, shape)


def _key_of_two(shape: str, kind: str, meaning: str) -> _Declared[Callable[[str, str], str]]:
    """Declare a family of keys with two parameters."""
    return _Declared(lambda head: lambda one, other: f"{head}{one}:{other}", kind, meaning, shape)


class Keys(_Prefixed):
    """The keys of one installation."""

    queues = _key("set", "names of the queues")
    leaving = _key("zset", "name of an empty queue that will be removed -> since when (ms)")
    forgotten = _key("hash", "counters of removed queues, e.g. enqueued:<type>:<priority>")
    newest = _key("list", "names of the latest new queues")
    unserved = _key("string", "queues with jobs and without worker (JSON), as seen by a scheduler")
    meta = _key(
        "hash",
        "schema version, id of this installation (the mark that an emptied server has lost), when that was noticed "
        "(ms), until when an operator knows of losses (ms)",
    )
    workers = _key("zset", "worker id -> lease end (ms): live workers")
    worker = _key_of("worker:<id>", "hash", "a worker's record, for display")
    schedulers = _key("zset", "scheduler id -> lease end (ms)")
    alarm = _key("list", "at most one name: a queue that schedulers may not know yet")
    client = _key_of(
        "client:<digest>", "string", "when a client's API rate limit is full again (us), with GOPHER_API_RATE"
    )

    def __init__(self, namespace: str) -> None:
        super().__init__(f"{namespace}:")
        self.namespace = namespace

    def for_queue(self, queue: str) -> "QueueKeys":
        return QueueKeys(self.namespace, queue)


class QueueKeys(_Prefixed):
    """The keys of one queue."""

    next = _key("list", "the head of the queue, at most one id: idle workers block here")
    pending = _key_of("pending:<priority>", "list", "ids; new ones come in at the left, the head is at the right")
    processing = _key_of("processing:<worker>", "list", "jobs fetched by one worker and not settled")
    scheduled = _key("zset", "id -> due (ms)")
    retrying = _key("zset", "id -> due (ms)")
    failed = _key("zset", "id -> failed at (ms): the dead letter queue")
    groups = _key("zset", "group -> latest failure (ms): dead letters with the same cause")
    group_names = _key("hash", "group -> type, error class, location in the code: a line each")
    group = _key_of("group:<group>", "zset", "id -> died (ms)")
    redrives = _key("zset", "id -> when to continue (ms): gradual redrives of dead letters")
    redrive = _key_of("redrive:<id>", "hash", "progress of a redrive: state, canaries, rate, left, ...")
    telling = _key("list", "finished jobs, each with the ids of children that are still to be notified")
    corrupt = _key("set", "ids of jobs whose record is corrupt: they are quarantined")
    finished = _key("zset", "id -> ended (ms): completed, cancelled, expired")
    evicted = _key(
        "hash", "when records were last removed early to free memory (at), of jobs that ended until when (ms)"
    )
    job = _key_of("job:<id>", "hash", "the record of a job")
    new = _key_of("new:<kind>", "hash", "template of the records of a batch; remains only if storing one has failed")
    workers = _key("zset", "worker id -> lease end (ms) on what it holds in this queue")
    fenced = _key("zset", "lost worker id -> when (ms): its calls are rejected")
    clock_set = _key("string", "when leases were last shifted because the server's clock was set (ms)")
    cancelling = _key_of("cancelling:<worker>", "set", "ids of running jobs that it must stop")
    tombstones = _key("hash", "priority -> number of cancelled ids still in its list")
    throttled = _key("zset", "bucket -> when to check it again (ms)")
    parked = _key_of_two("throttled:<bucket>:<priority>", "list", "ids of throttled jobs, as in pending")
    limited = _key("set", "types that are limited, paused or throttled")
    limit = _key_of("limit:<type>", "hash", "rate, burst, concurrency, origin, paused, held_until")
    bucket = _key_of("bucket:<bucket>", "hash", "tokens, stamp (ms); expires when it is full again")
    holding = _key_of("holding:<bucket>", "set", "ids of running jobs of a type with a limited concurrency")
    registering = _key("string", "exists briefly while a new queue gets the limits of types")
    paused = _key("string", "since when the queue is paused (ms)")
    unique = _key_of(
        "unique:<name>", "string", 'id of the job with the unique name: "<type> <key>", or "<type> <key> <owner>"'
    )
    idempotency = _key_of("idempotency:<digest>", "string", "digest of the request, when it was first made (ms)")
    duplicates = _key_of(
        "duplicates:<digest>", "string", "which of that request's jobs were duplicates, as in its response (msgpack)"
    )
    schedules = _key("hash", "name -> definition (JSON)")
    ticks = _key("zset", "name of a schedule -> next time (ms)")
    last = _key("hash", "name of a schedule -> id of its last job")
    alarm = _key("list", "at most one due time (ms): wakes a sleeping scheduler")
    totals = _key("hash", "counters, e.g. enqueued:<type>:<priority>")
    histogram = _key_of("histogram:<type>", "hash", "latency buckets, e.g. wait:3, run:sum_us")
    timeline = _key_of("timeline:<step>", "zset", "values of the counters (msgpack) -> when (ms), one every `step` ms")

    def __init__(self, namespace: str, queue: str) -> None:
        super().__init__(f"{namespace}:{{{queue}}}:")
        self.queue = queue

    def of_state(self, state: str) -> str:
        """Return the sorted set named like a state (see `states.IN_SORTED_SETS`)."""
        return self.prefix + state


def _drawn(keys: type[_Prefixed]) -> dict[str, Drawn]:
    return {name: each.drawn for name, each in vars(keys).items() if isinstance(each, _Declared)}


#: All keys by attribute name: those of an installation, and those of a queue.
INSTALLATION_KEYS = _drawn(Keys)
QUEUE_KEYS = _drawn(QueueKeys)
