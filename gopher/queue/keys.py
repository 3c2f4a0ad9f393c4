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
        "protocol and schema: the newest protocol that was used, and the oldest one that may be (see releases); id of "
        "this installation (instance: the mark that an emptied server has lost), when that was noticed "
        "(ms), until when an operator knows of losses (ms); how often webhooks have changed (webhooks)",
    )
    workers = _key("zset", "worker id -> lease end (ms): live workers")
    worker = _key_of("worker:<id>", "hash", "a worker's record, for display")
    schedulers = _key("zset", "scheduler id -> lease end (ms)")
    releases = _key("zset", "<part> <version> <build> -> until when one is known to run (ms): API, scheduler")
    types = _key("hash", "job type -> options of its jobs that its handler declares (JSON), as workers announce them")
    declaring = _key("zset", "worker or scheduler id -> until when it counts (ms): those that announce declarations")
    alarm = _key("list", "at most one name: a queue that schedulers may not know yet")
    tenants = _key("hash", "tenant -> what an operator has set for it: weight, rate, burst, concurrency (JSON)")
    audit = _key("stream", "what operators have done (JSON): the latest entries of the audit trail")
    audit_of_others = _key(
        "stream", "the same of refused attempts and of keys without the role admin, which can't push out the former"
    )
    api_keys = _key(
        "hash",
        "SHA-256 of an API key's secret -> its record (JSON); used:<SHA-256> -> last use (ms); version -> changes with "
        "each change of a record",
    )
    webhooks = _key(
        "hash",
        "webhook id -> its record with its secrets (JSON); failures:<id>, disabled:<id> -> how many deliveries have "
        "failed in a row, since when it is disabled (ms) and why; callbacks -> the secrets of callbacks; version",
    )
    webhook_deliveries = _key_of(
        "webhook_deliveries:<id>", "zset", "id of the job -> when (ms): the latest deliveries of a webhook"
    )
    client = _key_of(
        "client:<digest>",
        "string",
        "when a client's API rate limit is full again (us), with GOPHER_API_RATE; the same of attempts to sign in",
    )
    unused_uploads = _key_of(
        "unused_uploads:<digest>", "zset", "id and size of an owner's upload that no job uses -> when it expires (ms)"
    )
    session = _key_of("session:<digest>", "string", "a session of the dashboard: its key, its latest end (JSON)")
    files = _key_of(
        "files:<folder>", "hash", "file name -> token, size, ... (msgpack): the files of a job, or an owner's uploads"
    )
    file_folders = _key("set", "folders that have had files, with GOPHER_STORE=redis:")
    file_bytes = _key(
        "hash", "token of a file -> its bytes in the server, also while it is written; total -> their sum"
    )
    file = _key_of_two("file:<token>:<number>", "string", "a piece of a file")
    sweeping = _key("string", "exists until the store for files, which all share, is swept again")
    stores = _key("hash", "host of an API process -> the store for files that it has used, and when (JSON)")
    job_index = _key_of(
        "job_index:<id>",
        "string",
        "of a job that was moved, or whose id was chosen: its queue, digest of its submission, since when (ms)",
    )
    claims = _key_of("claims:<upload>", "set", "ids of jobs that were submitted with an uploaded file")
    known_address = _key_of("known_address:<digest>", "string", "exists for an address that has signed in lately")

    def __init__(self, namespace: str) -> None:
        super().__init__(f"{namespace}:")
        self.namespace = namespace

    def for_queue(self, queue: str) -> "QueueKeys":
        return QueueKeys(self.namespace, queue)


class QueueKeys(_Prefixed):
    """The keys of one queue."""

    next = _key("list", "the head of the queue, at most one id: idle workers block here")
    pending = _key_of("pending:<priority>", "list", "ids; new ones come in at the left, the head is at the right")
    pending_of = _key_of_two("pending_of:<priority>:<tenant>", "list", "ids of a tenant's jobs, as in pending")
    ring = _key_of(
        "ring:<priority>", "list", "tenants with such ids that take turns, the next one at the right; '' is pending"
    )
    turns = _key(
        "hash", "priority -> how many jobs of the tenant at the head of the ring have been taken since it is there"
    )
    resting = _key("set", "<priority>:<tenant> of lists that are not in their ring: the tenant has reached its limit")
    tenant_ids = _key("hash", "priority -> number of ids in the lists of tenants")
    tenants = _key("hash", "tenant -> its weight, and * if its use is limited (limit:@<tenant>)")
    processing = _key_of("processing:<worker>", "list", "jobs fetched by one worker and not settled")
    scheduled = _key("zset", "id -> due (ms)")
    retrying = _key("zset", "id -> due (ms)")
    failed = _key("zset", "id -> failed at (ms): the dead letter queue")
    groups = _key("zset", "group -> latest failure (ms): dead letters with the same cause")
    group_names = _key("hash", "group -> type, error class, location in the code: a line each")
    group = _key_of("group:<group>", "zset", "id -> died (ms)")
    redrives = _key("zset", "id -> when to continue (ms): gradual redrives of dead letters")
    redrive = _key_of("redrive:<id>", "hash", "progress of a redrive: state, canaries, rate, left, ...")
    cancellations = _key("zset", "id -> when to continue (ms): cancellations of all jobs that match a filter")
    cancellation = _key_of("cancellation:<id>", "hash", "progress of one: state, filter, places left, cancelled, ...")
    children = _key_of("children:<id>", "list", "ids of jobs that wait for the job, after those in its record")
    families = _key("set", "ids of jobs with such a list")
    telling = _key("list", "finished jobs whose children are still to be notified")
    outboxes = _key("zset", "queue -> when to deliver to it what its `outbox:<queue>` here has (ms)")
    outbox = _key_of("outbox:<queue>", "list", "what ends of jobs tell something in another queue (msgpack)")
    batches = _key("zset", "id of a batch -> created (ms)")
    batch = _key_of("batch:<id>", "hash", "a batch: name, callbacks, how many jobs are in which state, ...")
    batch_jobs = _key_of("batch_jobs:<id>", "hash", "id of a job of the batch -> state, round, queue, type, last move")
    batch_work = _key("zset", "id of a batch -> when to continue what is done to all its jobs, or to look at them (ms)")
    remote_children = _key_of(
        "remote_children:<id>", "list", "ids of jobs that wait for a job, or a batch, of another queue"
    )
    parent_result = _key_of("parent_result:<id>", "string", "result (JSON) of such a job; expires when its record does")
    readers = _key_of("readers:<id>", "list", "ids of jobs that read the job's result; expires with its record")
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
    commands = _key_of("commands:<worker>", "list", "what operators want it to do; read by its next heartbeat")
    stack = _key_of("stack:<id>", "string", "stack of the running job, as its worker has answered; for a minute")
    tombstones = _key("hash", "priority -> number of cancelled ids still in its list")
    throttled = _key("zset", "bucket -> when to check it again (ms)")
    parked = _key_of_two("throttled:<bucket>:<priority>", "list", "ids of throttled jobs, as in pending")
    parked_jobs = _key("hash", "priority -> number of throttled jobs; without those of earlier versions")
    waiting = _key("hash", "owner -> how many of its jobs wait, of those that were bounded when they were submitted")
    limited = _key("set", "types that are limited, paused or throttled, also if only for some keys")
    limit = _key_of("limit:<type>", "hash", "rate, burst, concurrency, per_key, origin, paused, held_until")
    held = _key_of(
        "held:<type>",
        "zset",
        "limit key, or ,<tenant> -> until when RateLimited throttles its jobs (ms); expires with the last one",
    )
    bucket = _key_of("bucket:<bucket>", "hash", "tokens, stamp (ms); expires when it is full again")
    holding = _key_of("holding:<bucket>", "set", "ids of running jobs of a type with a limited concurrency")
    registering = _key("string", "exists briefly while a new queue gets the limits of types")
    paused = _key("string", "since when the queue is paused (ms)")
    subscribed = _key(
        "hash",
        "which ends of jobs webhooks are told of: a space and the type, or * for all -> the states; their version",
    )
    unique = _key_of(
        "unique:<name>",
        "string",
        'id of the job with the unique name: "<type> <key> <owner>"; of a trusted job "<key>", as in earlier versions, '
        'or "<type> <key>" if a job of another type has that',
    )
    replaced = _key_of(
        "replaced:<id>",
        "string",
        "for a minute: the job whose payload was replaced by that of a submission with this id",
    )
    idempotency = _key_of("idempotency:<digest>", "string", "digest of the request, when it was first made (ms)")
    duplicates = _key_of(
        "duplicates:<digest>", "string", "which of that request's jobs were duplicates, as in its response (msgpack)"
    )
    moved = _key_of("moved:<id>", "string", "queue to which a job was moved; for ten minutes")
    named = _key_of("named:<id>", "string", "digest of the submission of a job whose id was chosen; for a day")
    confirming = _key("string", "exists briefly after submissions that replicas confirm, which write it")
    schedules = _key("hash", "name -> definition (JSON)")
    ticks = _key("zset", "name of a schedule -> next time (ms)")
    last = _key("hash", "name of a schedule -> id of its last job")
    versions = _key("hash", "name of a schedule -> its version: when it was last changed (ms)")
    removed = _key("zset", "name of a schedule that was deleted or has moved -> its version; for an hour")
    declared = _key("zset", "schedule:<name> or limit:<type> of handlers -> when a process last announced it (ms)")
    alarm = _key("list", "at most one due time (ms): wakes a sleeping scheduler")
    snapshot = _key_of("snapshot:<id>", "hash", "an export: when its ids were copied (at, ms), place -> number of ids")
    copied = _key_of_two("copied:<id>:<place>", "list", "ids that an export reads, as they were in a list")
    copied_sorted = _key_of_two("copied_sorted:<id>:<place>", "zset", "the same of a sorted set")
    imported = _key("zset", "digest of a batch of imported jobs -> when (ms): a repeat stores none of them again")
    awaited = _key("set", "ids of jobs that imported jobs wait for, and which have not been imported yet")
    awaiting = _key_of("awaiting:<id>", "list", "ids of the imported jobs that wait for such a job")
    totals = _key("hash", "counters, e.g. enqueued:<type>:<priority>")
    histogram = _key_of("histogram:<type>", "hash", "latency buckets as earlier versions count them, from 1 ms on")
    latencies = _key_of("latencies:<type>", "hash", "buckets of waits, runs, CPU time and memory: wait:3, run:sum_us")
    timeline = _key_of("timeline:<step>", "zset", "values of the counters (msgpack) -> when (ms), one every `step` ms")

    def __init__(self, namespace: str, queue: str) -> None:
        super().__init__(f"{namespace}:{{{queue}}}:")
        self.namespace = namespace
        self.queue = queue

    def of_state(self, state: str) -> str:
        """Return the sorted set named like a state (see `states.IN_SORTED_SETS`)."""
        return self.prefix + state


def _drawn(keys: type[_Prefixed]) -> dict[str, Drawn]:
    return {name: each.drawn for name, each in vars(keys).items() if isinstance(each, _Declared)}


#: All keys by attribute name: those of an installation, and those of a queue.
INSTALLATION_KEYS = _drawn(Keys)
QUEUE_KEYS = _drawn(QueueKeys)


def held_tenant(tenant: str) -> str:
    """Return what `held:<type>` has for the jobs of a tenant, "" for those without one: no limit key has a comma."""
    return f",{tenant}"


def tenant_held(member: str) -> str | None:
    """Return the tenant of a member of `held:<type>`, None if it is a limit key."""
    return member[1:] if member.startswith(",") else None
