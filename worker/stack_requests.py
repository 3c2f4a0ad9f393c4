"""Answers operators who want to see what a running job is doing: with the stacks of its child."""

from collections.abc import Mapping

from gopher.queue.commands import StackAnswer, WorkerCommand, answer_stack
from gopher.server.event_loop import EventLoop

from .children.crash_reports import place_of
from .children.handle import ChildHandle
from .crew import Crew
from .queue_side.clock import ServerClock
from .queue_side.served_queue import ServedQueue
from .running import Running

#: Seconds between looks at whether a child has written them.
_LOOK = 0.01


class StackRequests:
    """Those that are under way."""

    def __init__(
        self, crew: Crew, queues: Mapping[str, ServedQueue], clock: ServerClock, event_loop: EventLoop
    ) -> None:
        self._crew = crew
        self._queues = queues
        self._clock = clock
        self._event_loop = event_loop
        #: Children that are writing, with the job that was running when they were asked.
        self._waiting: dict[int, tuple[ChildHandle, Running]] = {}

    def ask(self, command: WorkerCommand, queue: str) -> None:
        """Have the child of a job write its stacks."""
        for child in self._crew.pool.children.values():
            head = child.head
            if head is not None and (head.job.id, head.queue) == (command.job_id, queue) and not child.killed:
                if child.frozen is not None:
                    problem = "it is frozen while a job of high priority runs in its place: ask again when it continues"
                    self._answer(head, StackAnswer(problem=problem))
                elif child.pid in self._waiting:
                    # It is asked again while it writes.
                    pass
                elif child.stacks.ask(child.pid):
                    self._waiting[child.pid] = (child, head)
                else:
                    self._answer(
                        head,
                        StackAnswer(
                            problem="its process can't tell: a handler has closed its files, or reset its signals"
                        ),
                    )
                return
        for running in self._crew.held:
            if (running.job.id, running.queue) == (command.job_id, queue):
                self._answer(running, StackAnswer(problem="it has not started: it waits for memory in its worker"))

    def check(self, now: float) -> None:
        """Send the answers that are complete."""
        for pid, (child, head) in list(self._waiting.items()):
            if pid not in self._crew.pool.children or child.head is not head:
                del self._waiting[pid]
                self._answer(head, StackAnswer(problem="it has ended meanwhile"))
            elif child.stacks.is_complete(now):
                del self._waiting[pid]
                self._tell(child, head)

    def wake_at(self, now: float) -> float:
        """Return when `check` is due (monotonic s)."""
        return now + _LOOK if self._waiting else float("inf")

    def _tell(self, child: ChildHandle, head: Running) -> None:
        stacks = child.stacks.read()
        if stacks:
            self._answer(head, StackAnswer(pid=child.pid, stack=stacks, place=place_of(stacks, head.handler)))
        else:
            self._answer(head, StackAnswer(problem="its process does not react to signals: it may be frozen"))

    def _answer(self, head: Running, answer: StackAnswer) -> None:
        answer.attempt, answer.at = head.job.attempt, self._clock.now()
        command = answer_stack(self._queues[head.queue].queue.keys, head.job.id, answer)
        self._event_loop.pipeline_to(command.key).add(command)
