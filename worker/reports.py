"""Reports of running jobs: progress and log lines."""

from collections.abc import Collection
from functools import partial

from .children.handle import ChildHandle
from .queue_side.fetcher import Fetcher
from .running import Running

#: Id, token, progress and log of a job for `Queue.report`.
_Report = tuple[str, str, bytes, bytes]


def report_running(children: Collection[ChildHandle], fetchers: Collection[Fetcher]) -> None:
    """Send new reports of the running jobs of these queues."""
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
    """Send rejected progress with the next report, unless there is newer one."""
    if isinstance(reply, Exception):
        for running, (_, _, progress, _) in reports:
            running.progress = running.progress or progress
