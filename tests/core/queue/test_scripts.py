"""Scripts as they are built and sent."""

import hashlib
import re

import pytest

from gopher.jobs.job import new_job_id
from gopher.queue.batch_moves import BatchMoves
from gopher.queue.gradual_moves import GradualMoves
from gopher.queue.keys import Keys
from gopher.queue.moves import Queue
from gopher.queue.new_jobs import NewJobs
from gopher.queue.parent_moves import ParentMoves
from gopher.queue.reading_moves import ReadingMoves
from gopher.queue.schedule_moves import ScheduleMoves
from gopher.queue.scripts import build, names, script

MOVES = (Queue, NewJobs, GradualMoves, ScheduleMoves, BatchMoves, ParentMoves, ReadingMoves)


def test_every_verb_of_the_queue_has_its_script():
    plain = {name for kind in MOVES for name in vars(kind) if not name.startswith("_")}
    assert plain == set(names())


@pytest.mark.parametrize("name", names())
def test_the_sha_is_that_of_what_is_sent(name):
    whole = script(name)
    assert whole.sha == hashlib.sha1(whole.source.encode()).hexdigest()
    assert script(name) is whole


@pytest.mark.parametrize("name", names())
def test_what_a_script_is_given_is_defined_once(name):
    defined = re.findall(r"^local (?:function )?(\w+)", script(name).source, re.MULTILINE)
    assert len(defined) == len(set(defined))


def test_a_script_that_needs_nothing_is_left_as_it_is():
    assert build("x", "return 1").source == "return 1"


def test_a_call_is_sent_by_its_sha_and_whole_when_the_server_does_not_know_it():
    job_id = new_job_id()
    call = Queue(Keys("ns").for_queue("mail")).cancel(job_id)
    assert call.verb == "cancel"
    assert call.key == "ns:{mail}:"
    assert call.command() == ("EVALSHA", script("cancel").sha, "1", "ns:{mail}:", job_id, "3600000")
    assert call.whole_command() == ("EVAL", script("cancel").source, "1", "ns:{mail}:", job_id, "3600000")
