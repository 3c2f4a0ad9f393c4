"""Every key that Gopher keeps in the server. This file is the only place where one is spelled.

<ns>:queues                    set     names of the queues ever used
<ns>:meta                      hash    schema version, id of this installation
<ns>:workers                   zset    worker id -> lease end (ms): who is there
<ns>:worker:<id>               hash    a worker's record, for people
<ns>:schedulers                zset    scheduler id -> lease end (ms)
<ns>:alarm                     list    at most one queue's name: a queue that schedulers may not know yet

P = <ns>:{<queue>}:            the braces make a queue one slot of a cluster

P next                         list    the head of the queue, at most one id: idle workers block here
P pending:<priority>           list    ids; new ones come in at the left, the head is at the right
P processing:<worker>          list    what one worker was given and has not settled
P scheduled                    zset    id -> due (ms)
P retrying                     zset    id -> due (ms)
P failed                       zset    id -> died (ms): the dead letter queue
P finished                     zset    id -> ended (ms): completed, cancelled, expired
P job:<id>                     hash    the record of a job
P workers                      zset    worker id -> lease end (ms) on what it holds in this queue
P fenced                       zset    lost worker id -> when (ms): its calls are refused
P cancelling:<worker>          set     ids of running jobs that it shall stop
P tombstones                   hash    priority -> cancelled ids that still stand in its list
P alarm                        list    at most one due time (ms): wakes a sleeping scheduler
P totals                       hash    counters, e.g. enqueued:<type>:<priority>
P histogram:<type>             hash    latency buckets, e.g. wait:3, run:sum_us
"""

#: The pieces behind P, as the drawing above names them; a test holds a real run's keys against it.
QUEUE_KEYS = (
    "next",
    "pending:<priority>",
    "processing:<worker>",
    "scheduled",
    "retrying",
    "failed",
    "finished",
    "job:<id>",
    "workers",
    "fenced",
    "cancelling:<worker>",
    "tombstones",
    "alarm",
    "totals",
    "histogram:<type>",
)


class Keys:
    """The keys of one installation."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.queues = f"{namespace}:queues"
        self.meta = f"{namespace}:meta"
        self.workers = f"{namespace}:workers"
        self.schedulers = f"{namespace}:schedulers"
        self.alarm = f"{namespace}:alarm"

    def worker(self, worker_id: str) -> str:
        return f"{self.namespace}:worker:{worker_id}"

    def of(self, queue: str) -> "QueueKeys":
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
        self.finished = prefix + "finished"
        self.workers = prefix + "workers"
        self.fenced = prefix + "fenced"
        self.tombstones = prefix + "tombstones"
        self.alarm = prefix + "alarm"
        self.totals = prefix + "totals"

    def pending(self, priority: str) -> str:
        return f"{self.prefix}pending:{priority}"

    def processing(self, worker_id: str) -> str:
        return f"{self.prefix}processing:{worker_id}"

    def job(self, job_id: str) -> str:
        return f"{self.prefix}job:{job_id}"

    def histogram(self, job_type: str) -> str:
        return f"{self.prefix}histogram:{job_type}"
