"""Every key that Gopher keeps in the server. This file is the only place where one is spelled.

<ns>:queues                    set     names of the queues
<ns>:leaving                   zset    name of a queue that is to be forgotten, for it holds nothing -> since when (ms)
<ns>:forgotten                 hash    what queues had counted that are forgotten, e.g. enqueued:<type>:<priority>
<ns>:newest                    list    names of the queues that became known last
<ns>:unserved                  string  which queues have jobs and no worker (JSON), as a scheduler has seen it
<ns>:meta                      hash    schema version, id of this installation (the mark that an emptied server has
                                       lost), when that was noticed (ms), until when an operator knows of losses (ms)
<ns>:workers                   zset    worker id -> lease end (ms): who is there
<ns>:worker:<id>               hash    a worker's record, for people
<ns>:schedulers                zset    scheduler id -> lease end (ms)
<ns>:alarm                     list    at most one queue's name: a queue that schedulers may not know yet
<ns>:client:<digest>           string  when a client of the API has all its requests again (us), with GOPHER_API_RATE

P = <ns>:{<queue>}:            the braces make a queue one slot of a cluster

P next                         list    the head of the queue, at most one id: idle workers block here
P pending:<priority>           list    ids; new ones come in at the left, the head is at the right
P processing:<worker>          list    what one worker was given and has not settled
P scheduled                    zset    id -> due (ms)
P retrying                     zset    id -> due (ms)
P failed                       zset    id -> died (ms): the dead letter queue
P groups                       zset    group -> when a job last died in it (ms): dead letters of one kind
P group_names                  hash    group -> type, class of the error, place in the code: a line each
P group:<group>                zset    id -> died (ms)
P redrives                     zset    id -> when to look at it again (ms): dead letters retried by and by
P redrive:<id>                 hash    how far it is: state, canaries, rate, left, ...
P telling                      list    jobs that have ended, each with the ids of children that are still to be told
P corrupt                      set     ids of jobs whose record somebody has corrupted: they are set aside
P finished                     zset    id -> ended (ms): completed, cancelled, expired
P evicted                    hash    when records were last removed early to free memory (at), of jobs that
                                       ended until when (ms)
P job:<id>                     hash    the record of a job
P new:<kind>                   hash    what the records of a batch are copies of; left only where storing one has failed
P workers                      zset    worker id -> lease end (ms) on what it holds in this queue
P fenced                       zset    lost worker id -> when (ms): its calls are refused
P clock_set                    string  when leases were moved along last, since the server's clock was set (ms)
P cancelling:<worker>          set     ids of running jobs that it shall stop
P tombstones                   hash    priority -> cancelled ids that still stand in its list
P throttled                    zset    bucket -> when to look at it again (ms)
P throttled:<bucket>:<priority>  list  ids of pending jobs that may not start yet, as in pending
P limited                      set     types that are limited, paused or held back
P limit:<type>                 hash    rate, burst, concurrency, origin, paused, held_until
P bucket:<bucket>              hash    tokens, stamp (ms); gone when it is full again
P holding:<bucket>             set     ids of running jobs of a type with a limited concurrency
P registering                  string  there for a moment while a new queue is given the limits of types
P paused                       string  since when the queue gives out nothing (ms)
P unique:<name>                string  id of the job that has the unique name: "<type> <key>", or "<type> <key> <owner>"
P idempotency:<digest>         string  digest of the request, when it was first made (ms)
P duplicates:<digest>          string  for which of that request's jobs others stood, as it was answered (msgpack)
P schedules                    hash    name -> definition (JSON)
P ticks                        zset    name of a schedule -> when it fires next (ms)
P last                         hash    name of a schedule -> id of the last job that it made
P alarm                        list    at most one due time (ms): wakes a sleeping scheduler
P totals                       hash    counters, e.g. enqueued:<type>:<priority>
P histogram:<type>             hash    latency buckets, e.g. wait:3, run:sum_us
P timeline:<step>              zset    how far the counters were (msgpack) -> when (ms), one each `step` ms
"""

#: The pieces behind P, as the drawing above names them; a test holds a real run's keys against it.
QUEUE_KEYS = (
    "next",
    "pending:<priority>",
    "processing:<worker>",
    "scheduled",
    "retrying",
    "failed",
    "groups",
    "group_names",
    "group:<group>",
    "redrives",
    "redrive:<id>",
    "telling",
    "corrupt",
    "finished",
    "evicted",
    "job:<id>",
    "new:<kind>",
    "workers",
    "fenced",
    "clock_set",
    "cancelling:<worker>",
    "tombstones",
    "throttled",
    "throttled:<bucket>:<priority>",
    "limited",
    "limit:<type>",
    "bucket:<bucket>",
    "holding:<bucket>",
    "registering",
    "paused",
    "unique:<name>",
    "idempotency:<digest>",
    "duplicates:<digest>",
    "schedules",
    "ticks",
    "last",
    "alarm",
    "totals",
    "histogram:<type>",
    "timeline:<step>",
)


class Keys:
    """The keys of one installation."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.queues = f"{namespace}:queues"
        self.leaving = f"{namespace}:leaving"
        self.forgotten = f"{namespace}:forgotten"
        self.newest = f"{namespace}:newest"
        self.unserved = f"{namespace}:unserved"
        self.meta = f"{namespace}:meta"
        self.workers = f"{namespace}:workers"
        self.schedulers = f"{namespace}:schedulers"
        self.alarm = f"{namespace}:alarm"

    def client(self, digest: str) -> str:
        return f"{self.namespace}:client:{digest}"

    def worker(self, worker_id: str) -> str:
        return f"{self.namespace}:worker:{worker_id}"

    def for_queue(self, queue: str) -> "QueueKeys":
        return QueueKeys(self.namespace, queue)


class QueueKeys:
    """The keys of one queue."""

    def __init__(self, namespace: str, queue: str) -> None:
        self.queue = queue
        self.prefix = prefix = f"{namespace}:{{{queue}}}:"
        self.next = prefix + "next"
        self.scheduled = prefix + "scheduled"
        self.retrying = prefix + "retrying"
        self.failed = prefix + "failed"
        self.groups = prefix + "groups"
        self.group_names = prefix + "group_names"
        self.redrives = prefix + "redrives"
        self.corrupt = prefix + "corrupt"
        self.telling = prefix + "telling"
        self.finished = prefix + "finished"
        self.evicted = prefix + "evicted"
        self.workers = prefix + "workers"
        self.fenced = prefix + "fenced"
        self.clock_set = prefix + "clock_set"
        self.tombstones = prefix + "tombstones"
        self.throttled = prefix + "throttled"
        self.limited = prefix + "limited"
        self.registering = prefix + "registering"
        self.paused = prefix + "paused"
        self.schedules = prefix + "schedules"
        self.ticks = prefix + "ticks"
        self.last = prefix + "last"
        self.alarm = prefix + "alarm"
        self.totals = prefix + "totals"

    def pending(self, priority: str) -> str:
        return f"{self.prefix}pending:{priority}"

    def parked(self, bucket: str, priority: str) -> str:
        return f"{self.prefix}throttled:{bucket}:{priority}"

    def limit(self, job_type: str) -> str:
        return f"{self.prefix}limit:{job_type}"

    def bucket(self, bucket: str) -> str:
        return f"{self.prefix}bucket:{bucket}"

    def holding(self, bucket: str) -> str:
        return f"{self.prefix}holding:{bucket}"

    def processing(self, worker_id: str) -> str:
        return f"{self.prefix}processing:{worker_id}"

    def group(self, group: str) -> str:
        return f"{self.prefix}group:{group}"

    def redrive(self, redrive_id: str) -> str:
        return f"{self.prefix}redrive:{redrive_id}"

    def job(self, job_id: str) -> str:
        return f"{self.prefix}job:{job_id}"

    def idempotency(self, digest: str) -> str:
        return f"{self.prefix}idempotency:{digest}"

    def histogram(self, job_type: str) -> str:
        return f"{self.prefix}histogram:{job_type}"

    def timeline(self, step: int) -> str:
        return f"{self.prefix}timeline:{step}"
