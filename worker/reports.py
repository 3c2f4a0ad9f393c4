"""What running jobs say before they end: their progress and the lines that they have logged so far."""

from collections.abc import Collection
from functools import partial

from .children.handle import ChildHandle
from .queue_side.fetcher import Fetcher
from .running import Running

#: Id and token of a job, its progress and log as `Queue.report` takes them.
_Report = tuple[str, str, bytes, bytes]


def report_running(children: Collection[ChildHandle], fetchers: Collection[Fetcher]) -> None:
    """Send what is new of the jobs that run in these queues."""
    for fetcher in fetchers:
        heads = [(child, child.head) for child in children]
        ours = [(child, head) for child, head in heads if head is not None and head.queue == fetcher.queue.name]
        reports = [(head, report) for child, head in ours if (report := _report(child, head))]
        if reports:
            for head, _ in reports:
                head.progress = b""
            call = fetcher.queue.report([report for _, report in reports])
            fetcher.pipeline.add(call, partial(_take_answer, reports))


def _report(child: ChildHandle, head: Running) -> _Report | None:
    logged = child.output.changed(head.number)
    if not (head.progress or logged):
        return None
    return head.job.id, head.job.token, head.progress, child.output.encode(head.number) if logged else b""


def _take_answer(reports: list[tuple[Running, _Report]], reply: object) -> None:
    """Have progress that was refused go with the next report, unless there is newer one."""
    if isinstance(reply, Exception):
        for running, (_, _, progress, _) in reports:
            running.progress = running.progress or progress
