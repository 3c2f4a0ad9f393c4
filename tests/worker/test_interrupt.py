"""Which assignment is meant by an interruption."""

import pytest
from gopher.worker.children.interrupt import CANCEL, TIMEOUT, Interrupt


@pytest.fixture
def stop():
    stop = Interrupt()
    yield stop
    stop.close()


def test_interrupts_no_job_at_first(stop):
    assert [stop.reason_for(number) for number in (1, 2, 3)] == [0, 0, 0]


@pytest.mark.parametrize("reason", [TIMEOUT, CANCEL])
def test_means_one_assignment_and_no_other(stop, reason):
    stop.set(7, reason)
    assert [stop.reason_for(number) for number in (6, 7, 8)] == [0, reason, 0]


def test_a_later_word_counts(stop):
    stop.set(7, CANCEL)
    stop.set(2**40, TIMEOUT)
    assert stop.reason_for(7) == 0
    assert stop.reason_for(2**40) == TIMEOUT
