"""Children that never run, and jobs to give them: the tests read a child's end of the channel themselves."""

from collections import deque

from gopher.worker.children.capture import CapturedOutput
from gopher.worker.children.channel import SupervisorEnd
from gopher.worker.children.claims import Claims
from gopher.worker.children.handle import ChildHandle
from gopher.worker.children.interrupt import Interrupt
from gopher.worker.children.stacks import StackFile
from gopher.worker.running import Running

from gopher.queue.replies import FetchedJob

#: No process has this pid: a test that has a child killed kills nothing.
NOBODY = 2**30


def new_child():
    child = ChildHandle(
        NOBODY, SupervisorEnd(), CapturedOutput(), Interrupt(), Claims(), StackFile(), jobs_left=100, ready=True
    )
    child.output.close_writer()
    return child


def running(number, envelope=b"{}", parents=None):
    job = FetchedJob(f"id-{number}", f"w.{number}", "echo", "normal", 1, envelope=envelope, parents=parents or {})
    return Running(job, "default", None, 3, 30.0, "w")


def child_of(pool):
    """Return the child that every pool here has."""
    return pool.children[1]


def hand_out(pool, jobs, depth=16, now=0.0):
    """Hand out jobs; return those that nobody has room for."""
    backlog = deque(jobs)
    pool.hand_out(backlog, depth, now)
    return list(backlog)
