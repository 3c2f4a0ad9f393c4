"""A thousand honest jobs and every kind of monster among them, in one worker of two children.

Each monster ends with a clear reason within its limits, the worker goes on, honest jobs around them complete,
and no process is left behind.
"""

import math
import re
import time
from collections import Counter

import pytest

from gopher.base.times import from_rfc3339
from tests.helpers import wait_until
from tests.worker.processes import error_of, result_of


@pytest.fixture(scope="module")
def client(shared):
    return shared.client


def ended(client, job_ids, timeout=30.0):
    deadline = time.monotonic() + timeout
    return [client.wait(job_id, max(deadline - time.monotonic(), 0)) for job_id in job_ids]


def test_a_thousand_math_jobs_of_one_call_complete_with_right_results(client):
    jobs = [{"type": "math", "payload": {"operation": "factorial", "number": number % 200}} for number in range(1000)]
    ids = client.enqueue_many(jobs)
    views = ended(client, ids, 40)
    assert Counter(view.status for view in views) == {"completed": 1000}
    assert [int(result_of(view)["result"]) for view in views] == [math.factorial(n % 200) for n in range(1000)]
    assert {view.attempts for view in views} == {1}


#: Each monster: its type and payload, the class of its error, and what its message says.
MONSTERS = {
    "sleeps past its timeout": ("nap", {"seconds": 60}, "Timeout", "ran longer than its timeout of 1s"),
    "swallows the exception": ("swallow", {}, "Timeout", "did not react to the exception for 1.5s, and was killed"),
    "hangs in C": ("hang_in_c", {}, "Timeout", "did not react to the exception for 1.5s, and was killed"),
    "leaves with 0": ("exit", {}, "ChildCrashed", "died once (exit 0)"),
    "leaves with 7": ("exit", {"code": 7}, "ChildCrashed", "died once (exit 7)"),
    "segfaults": ("segfault", {}, "ChildCrashed", "died once (SIGSEGV)"),
    "kills itself": ("kill_self", {}, "ChildCrashed", "died once (SIGKILL)"),
    "closes all descriptors": ("close_everything", {}, "ChildCrashed", "died once (exit 1)"),
    "leaves a program behind and dies": ("orphan", {}, "ChildCrashed", "died once (exit 3)"),
    "writes into every descriptor": ("junk", {}, "ChildCrashed", "wrote into its connection to the worker"),
    "returns an object": ("return_object", {}, "ResultNotJson", "result is a object"),
    "returns a set": ("return_object", {"kind": "set"}, "ResultNotJson", "result.sizes[1] is a set"),
    "returns NaN": ("return_object", {"kind": "nan"}, "ResultNotJson", "result.a is nan"),
    "returns a ring": ("return_object", {"kind": "cycle"}, "ResultNotJson", "contains itself"),
    "returns too much": ("return_object", {"kind": "huge"}, "ResultTooLarge", "the maximum is 65536"),
    "has a message that raises": ("bad_str", {}, "Nasty", "its message can't be shown: RuntimeError"),
    "asks to exit": ("raise", {"error": "SystemExit"}, "SystemExit", "boom"),
    "is interrupted": ("raise", {"error": "KeyboardInterrupt"}, "KeyboardInterrupt", "boom"),
    "raises what is no exception": ("raise", {"error": "GeneratorExit"}, "GeneratorExit", "boom"),
    "recurses without end": ("recurse", {}, "RecursionError", "recursion"),
    "runs out of memory at once": ("raise", {"error": "MemoryError"}, "MemoryError", "boom"),
}


@pytest.fixture(scope="module")
def fates(shared, client):
    """Submit all monsters, each between honest jobs, and wait for all of them."""
    pid, honest, monsters = shared.pid, [], {}
    for name, (job_type, payload, error, _) in MONSTERS.items():
        honest += client.enqueue_many({"type": "echo", "payload": {"n": number}} for number in range(10))
        # On a busy machine, what ends by itself may take longer than a second.
        timeout = "1s" if error == "Timeout" else "30s"
        monsters[name] = client.enqueue(job_type, payload, timeout=timeout, max_retries=0)
    honest += client.enqueue_many({"type": "echo", "payload": {"n": number}} for number in range(10))
    fates = dict(zip(monsters, ended(client, monsters.values()), strict=True))
    assert Counter(view.status for view in ended(client, honest)) == {"completed": len(honest)}
    assert shared.running
    assert shared.pid == pid
    return fates


@pytest.mark.parametrize("name", MONSTERS)
def test_each_monster_ends_with_a_clear_reason(fates, name):
    _, _, error_type, words = MONSTERS[name]
    view = fates[name]
    error = error_of(view)
    assert (view.status, error["type"]) == ("failed", error_type)
    assert words in error["message"]
    # What has found no memory beside another job runs once more alone.
    most = 2 if error_type == "MemoryError" else 1
    assert [row.error["type"] for row in view.history] in [[error_type] * times for times in range(1, most + 1)]


@pytest.mark.parametrize("name", [name for name, monster in MONSTERS.items() if monster[2] == "Timeout"])
def test_a_monster_that_does_not_end_is_ended_within_its_limits(fates, name):
    # The timeout of 1 s, the grace of 1.5 s, and time for a busy machine; by themselves they end after a minute.
    (row,) = fates[name].history
    # The supervisor counts from before the child has begun, which is where the row begins.
    assert 900 <= from_rfc3339(row.ended_at) - from_rfc3339(row.started_at) < 20_000


def test_a_segfault_shows_its_stack_and_its_last_words(client, fates):
    shown = error_of(fates["segfaults"])["traceback"].splitlines()
    assert shown[:2] == ["last words", "Fatal Python error: Segmentation fault"]
    # Of the stack what was the handler's: nothing of Gopher's, which calls it, nor of Python's start.
    assert re.fullmatch(r'  File ".*/tests/monsters/__init__.py", line \d+ in segfault', shown[-1])
    (group,) = [each for each in client.dead_letters.groups().groups if each.type == "segfault"]
    assert re.fullmatch(r"tests/monsters/__init__.py:\d+ segfault", group.place)
    lines = [line.line for line in client.logs(fates["segfaults"].job_id)]
    assert lines[0] == "last words"


def test_fifty_megabytes_of_output_block_no_job_and_leave_their_end(client):
    job_id = client.enqueue("flood", {"bytes": 50_000_000}, timeout="25s", max_retries=0)
    job = client.wait(job_id, 30)
    assert (job.status, error_of(job), result_of(job)) == ("completed", {}, "said it all")
    lines = [line.line for line in client.logs(job_id)]
    assert lines[-1] == "the end"
    assert "earlier lines omitted" in lines[0]
    assert len(lines) <= 201


def test_afterwards_both_children_are_there_and_nothing_else(shared, fates):
    """Among the monsters were programs left behind by children that died."""
    wait_until(lambda: shared.session() == [shared.pid, *shared.children()] and len(shared.children()) == 2)


def test_afterwards_honest_jobs_run_as_before(client, fates):
    ids = client.enqueue_many({"type": "echo", "payload": {"n": number}} for number in range(100))
    assert [result_of(view) for view in ended(client, ids)] == [{"n": number} for number in range(100)]
