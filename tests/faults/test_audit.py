"""The audit finds what is wrong when something is: one that finds nothing proves little."""

import subprocess
import sys

import pytest

from tests.faults.audit import audit, save
from tests.faults.ledger import VARIABLE, note, read
from tests.worker.processes import ROOT

ACCEPTED = [("n1", "one"), ("n2", "two"), ("n3", "three")]
STATES = {"one": "completed", "two": "completed", "three": "failed"}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """What honest handlers have noted: job three has failed, so it never came to its end."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    for number, job_id in ACCEPTED:
        note(job_id, 1, "start", number)
    for number, job_id in ACCEPTED[:2]:
        note(job_id, 1, "end", number)
    return tmp_path / "ledger"


def test_finds_nothing_where_all_is_well(ledger):
    found = audit(ACCEPTED, STATES, read(ledger))
    assert found.sound
    assert (found.accepted, found.completed, found.dead, found.twice) == (3, 2, 1, [])


def test_finds_a_job_of_which_nothing_is_known(ledger):
    assert audit(ACCEPTED, {**STATES, "two": None}, read(ledger)).lost == ["two"]


def test_finds_a_job_that_has_not_ended(ledger):
    assert audit(ACCEPTED, {**STATES, "two": "retrying"}, read(ledger)).unfinished == ["two"]


def test_finds_a_result_that_no_handler_gave(ledger):
    assert audit(ACCEPTED, {**STATES, "three": "completed"}, read(ledger)).invented == ["three"]


def test_finds_two_jobs_of_one_submission_also_when_only_one_was_acknowledged(ledger):
    note("other", 1, "start", "n2")
    assert audit(ACCEPTED, STATES, read(ledger)).doubled == ["other"]


def test_counts_jobs_that_ran_twice_without_failing(ledger):
    note("one", 2, "start", "n1")
    found = audit(ACCEPTED, STATES, read(ledger))
    assert (found.twice, found.sound) == (["one"], True)


@pytest.mark.parametrize(("states", "code"), [(STATES, 0), ({**STATES, "two": None}, 1)])
def test_is_a_program_too(ledger, tmp_path, states, code):
    save(tmp_path, ACCEPTED, states)
    command = [sys.executable, "-m", "tests.faults.audit", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.startswith("accepted=3")
