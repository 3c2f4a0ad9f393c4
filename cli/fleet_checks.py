"""`doctor`'s checks of processes and jobs: missing processes, stuck and orphaned jobs."""

import re
import time
from collections.abc import Iterator

from gopher.admin.audit import record
from gopher.base.durations import format_duration
from gopher.base.names import JOB_ID
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import is_corrupt, order, replies, shown_time
from gopher.base.states import WAITING
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.interface import Gopher
from gopher.jobs.models import JobView, WorkerView
from gopher.queue.installation import TOLD_FOR, notice
from gopher.queue.invariants import findings
from gopher.queue.keys import QueueKeys
from gopher.reads.advice import NO_SCHEDULER, NO_WORKERS, START_SCHEDULER
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .checks import Check, Finding
from .hints import unserved

#: How many pages of waiting jobs are read per state, to find their types; and the jobs per page.
_PAGES, _PAGE = 4, 500
#: A due job or a lost worker that has not been handled for this long (ms) is reported.
_LATE = 30_000
#: Queues of up to this many jobs are read completely without --deep; how often, since jobs move; seconds between.
_FEW, _LOOKS, _BETWEEN = 20_000, 3, 0.3
SCHEDULER_MISSING = Finding(NO_SCHEDULER, f"{START_SCHEDULER.capitalize()}.")
#: Connections of each process (docs/deployment.md); a worker has one more for each queue.
_OF_API_PROCESS, _OF_WORKER, _OF_SCHEDULER = 4, 1, 4


def connections_needed(gopher: Client, settings: Settings) -> dict[str, int]:
    """Return the maximum number of connections of each kind of process, with one API of WEB_CONCURRENCY processes."""
    return {
        "workers": sum(_OF_WORKER + len(worker.queues) for worker in gopher.workers()),
        "schedulers": _OF_SCHEDULER * gopher.inspector.schedulers(),
        "API": _OF_API_PROCESS * settings.web_concurrency,
    }


def data_check(gopher: Client) -> Check:
    """Check whether the server has lost data: all of it, or records of finished jobs that were evicted early."""
    server, now = gopher.server, gopher.inspector.now()
    with explained():
        mark = server.client.execute_command(*server.installation.read_command().words)
        known = order(mark[2])
        pipe = server.client.pipeline(transaction=False)
        names = server.queues()
        for name in names:
            pipe.hmget(server.keys.for_queue(name).evicted, "at", "until")
            pipe.hget(server.keys.for_queue(name).totals, "evicted")
        rows = replies(pipe) if names else []
    found = []
    if emptied := notice(mark, now):
        found.append(Finding(emptied, "Then dismiss this warning with `gopherctl doctor --acknowledge`."))
    removed = [
        (name, evicted[0], evicted[1], 0 if is_corrupt(count) else order(count))
        for name, evicted, count in zip(names, rows[0::2], rows[1::2], strict=True)
        if not is_corrupt(evicted) and max(known, now - TOLD_FOR * 1000) < order(evicted[0])
    ]
    for name, at, until, count in removed:
        message = (
            f"queue {name!r}: records of finished jobs were evicted early to free memory: {count:,} so far, last at "
            f"{shown_time(at)}, of jobs that had ended by {shown_time(until or at)}"
        )
        found.append(Finding(message, "Raise maxmemory, or shorten GOPHER_RESULT_TTL so that records expire sooner."))
    return Check("data", "some data was lost" if found else "no data loss detected", found)


def acknowledge_losses(gopher: Client) -> None:
    """Acknowledge data loss up to now, so that `/health` and `doctor` stop reporting it."""
    server, now = gopher.server, gopher.inspector.now()
    server.write(server.keys.meta, lambda: server.client.hset(server.keys.meta, "acknowledged", now))
    record(server, "doctor.acknowledge", {})


def scheduler_check(gopher: Client) -> Check:
    """Check that schedulers are running, and that nothing is overdue."""
    count = gopher.inspector.schedulers()
    found = []
    if not count:
        found.append(SCHEDULER_MISSING)
    for queue, what, late in _overdue(gopher):
        message = f"queue {queue!r}: {what} is overdue by {format_duration(late / 1000)}"
        found.append(Finding(message, "Check the scheduler's log, and restart it."))
    return Check("scheduler", f"{count} alive", found)


def _overdue(gopher: Client) -> Iterator[tuple[str, str, int]]:
    """Yield queue, what is overdue there, and by how many ms."""
    now, every = gopher.inspector.now(), [gopher.server.keys.for_queue(queue) for queue in gopher.server.queues()]
    places = [
        (keys.queue, key, what)
        for keys in every
        for key, what in ((keys.scheduled, "a scheduled job"), (keys.retrying, "a retry"), (keys.ticks, "a schedule"))
    ]
    with explained():
        heads = ask(gopher.server.client, [("ZRANGE", key, 0, 0, "WITHSCORES") for _, key, _ in places])
    for (queue, _, what), first in zip(places, heads, strict=True):
        if first and now - order(first[1]) > _LATE:
            yield queue, what, now - order(first[1])


def worker_checks(gopher: Gopher) -> list[Check]:
    """Check that workers are running, and that each type with waiting jobs has one."""
    workers = gopher.workers()
    children = sum(len(worker.children) for worker in workers)
    found = []
    if not workers:
        message, _, remedy = NO_WORKERS.partition(": ")
        found.append(Finding(message, f"{remedy.capitalize()}."))
    return [Check("workers", f"{len(workers)} running, {children} children", found), _types(gopher, workers)]


def _types(gopher: Gopher, workers: list[WorkerView]) -> Check:
    waiting = {(view.queue, view.type) for state in WAITING for view in _some(gopher, state)}
    found = []
    for queue, job_type in sorted(waiting):
        problem, _, remedy = unserved(workers, job_type, queue).partition(": ")
        if problem:
            found.append(
                Finding(f"jobs of type {job_type!r} are waiting, and {problem}", f"{remedy[0].upper()}{remedy[1:]}.")
            )
    return Check("types", f"{len({job_type for _, job_type in waiting})} with waiting jobs", found)


def _some(gopher: Gopher, state: str) -> Iterator[JobView]:
    cursor = None
    for _ in range(_PAGES):
        page = gopher.jobs(status=state, limit=_PAGE, cursor=cursor)
        yield from page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return


def webhooks_check(gopher: Client) -> Check:
    """Check that no webhook is disabled because deliveries failed."""
    views = gopher.webhooks.all()
    found = [
        Finding(
            f"webhook {view.webhook_id} is disabled: {view.disabled_because}",
            f"Once its receiver works: `gopherctl webhooks enable {view.webhook_id}`.",
        )
        for view in views
        if view.disabled_at is not None
    ]
    return Check("webhooks", f"{len(views)} webhooks", found)


def running_check(gopher: Client) -> Check:
    """Find jobs that have been processing for longer than their timeout, the grace period and a lease allow."""
    running, found = 0, []
    for queue, stats in gopher.stats().queues.items():
        running += stats.processing
        for job in gopher.inspector.stuck(queue) if stats.processing else ():
            message = f"queue {queue!r}: job {job.job_id} should have ended {format_duration(job.late)} ago"
            remedy = (
                f"Check the log of worker {job.worker_id}: the server may be rejecting its outcomes. "
                "If the job is not requeued within a lease, restart that worker."
            )
            found.append(Finding(message, remedy))
    return Check("running", f"{running} jobs", found)


def orphan_check(gopher: Client, *, deep: bool) -> Check:
    """Find orphaned jobs; in large queues only those held by lost workers, unless `deep`."""
    found, large = [], []
    for queue in gopher.server.queues():
        keys = gopher.server.keys.for_queue(queue)
        with explained():
            if deep or _size(gopher, keys) <= _FEW:
                sentences = _lasting(gopher, keys)
            else:
                large.append(queue)
                sentences = list(_held_by_nobody(gopher, keys))
            sentences += _not_rescued(gopher, keys)
        found += [Finding(f"queue {queue!r}: {sentence}", _remedy(sentence, keys)) for sentence in sentences]
    if large:
        return Check(
            "orphans", f"for {', '.join(large)} only jobs held by workers were checked: --deep reads every job", found
        )
    return Check("orphans", "none", found)


def _size(gopher: Client, keys: QueueKeys) -> int:
    pipe = gopher.server.client.pipeline(transaction=False)
    for priority in PRIORITIES:
        pipe.llen(keys.pending(priority))
    for key in (keys.scheduled, keys.retrying, keys.failed, keys.finished):
        pipe.zcard(key)
    pipe.hvals(keys.tenant_ids)
    *sizes, of_tenants = pipe.execute()
    return int(sum(sizes)) + sum(map(int, of_tenants))


def _lasting(gopher: Client, keys: QueueKeys) -> list[str]:
    """Return what repeated reads agree on: a job that moves while it is read may seem lost in one of them."""
    lasting = findings(gopher.server.client, keys)
    for _ in range(_LOOKS - 1):
        if lasting:
            time.sleep(_BETWEEN)
            again = set(findings(gopher.server.client, keys))
            lasting = [sentence for sentence in lasting if sentence in again]
    return lasting


def _held_by_nobody(gopher: Client, keys: QueueKeys) -> Iterator[str]:
    client, prefix = gopher.server.client, keys.processing("")
    known = {*client.zrange(keys.workers, 0, -1), *client.zrange(keys.fenced, 0, -1)}
    pattern = prefix.replace("[", "\\[").replace("*", "\\*") + "*"
    for name in client.scan_iter(match=pattern, count=5000, _type="list"):
        worker = name.decode().removeprefix(prefix)
        if worker.encode() not in known:
            count = client.llen(name)
            yield f"{count} jobs are in processing:{worker}, and that worker is neither registered nor lost"


def _not_rescued(gopher: Client, keys: QueueKeys) -> list[str]:
    """Return the workers whose lease expired long ago, and whose jobs have not been requeued."""
    lost = gopher.server.client.zrangebyscore(keys.workers, "-inf", gopher.inspector.now() - _LATE)
    return [f"worker {worker.decode()} is lost, and its jobs have not been requeued" for worker in lost]


def _remedy(sentence: str, keys: QueueKeys) -> str:
    if sentence.endswith("is neither registered nor lost"):
        worker = sentence.partition("processing:")[2].partition(",")[0]
        # A lease that expired in 1970: the next rescue requeues its jobs.
        return f"To have its jobs requeued within a lease: redis-cli ZADD '{keys.workers}' 0 '{worker}'"
    if "its jobs have not been requeued" in sentence:
        return "Start a scheduler, `gopherctl scheduler`, or a worker that serves this queue."
    job = re.search(JOB_ID.pattern, sentence)
    other = f" and that of `gopherctl job {job[0]}`" if job else ""
    return f"Keys were changed by hand, or this is a bug in Gopher: keep this output{other}."
