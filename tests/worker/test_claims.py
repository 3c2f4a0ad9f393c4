"""A job is begun by its child or taken back by the supervisor, never both."""

import mmap
import os
import time

from gopher.worker.children.claims import Claims

JOBS = 100_000


def race():
    """Have a child begin jobs while they are taken back; return the numbers that it has begun, and those taken."""
    claims = Claims()
    seen = mmap.mmap(-1, JOBS + 1)
    child = os.fork()
    if not child:
        for number in range(1, JOBS + 1):
            if claims.begin(number):
                seen[number] = 1
        os._exit(0)
    taken: set[int] = set()
    last, give_up_at = 1, time.monotonic() + 20
    while last < JOBS and time.monotonic() < give_up_at:
        begun = claims.take_back(last)
        if begun is not None:
            taken |= set(range(begun + 1, last + 1))
            # Close ahead of where the child is.
            last = max(last, min(begun + 5, JOBS))
    os.waitpid(child, 0)
    claims.close()
    return {number for number in range(1, JOBS + 1) if seen[number]}, taken


def test_each_job_is_either_started_or_taken_back_in_a_race_of_both_sides():
    give_up_at = time.monotonic() + 60
    taken: set[int] = set()
    # On a busy machine the child may be through before anybody takes back anything.
    while not taken and time.monotonic() < give_up_at:
        begun, taken = race()
        assert len(begun) + len(taken) == JOBS
        assert not begun & taken
    assert taken


def test_a_child_that_was_killed_in_the_act_holds_up_no_one_for_long():
    claims = Claims()
    child = os.fork()
    if not child:
        claims._lock.acquire()
        os._exit(0)
    os.waitpid(child, 0)
    assert claims.take_back(5) is None
    claims.close()
