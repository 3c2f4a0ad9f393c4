"""The state machine with one more priority and two more states (see test_one_more.py)."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from gopher.base.priorities import PRIORITIES
from gopher.base.states import ENDED, PURGEABLE, TIMED
from tests.invariants.conftest import lab_server  # noqa: F401 - a fixture
from tests.invariants.hunting import QUICK, EndsWell


class WithMore(EndsWell):
    """Jobs are skipped where they wait, and postponed once they run."""

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def skip(self, data: Any) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        waits = self.field(job.id, "state") in {"pending", *TIMED}
        answer = self.run_call(self.queue._call("skip", (job.id, 3_600_000), bytes.decode))
        if waits:
            assert answer == "CANCELLED"
            assert self.field(job.id, "state") in ("skipped", None)
            assert self.run_call(self.queue.cancel(job.id)) in ("skipped", "MISSING"), "a job has ended twice"

    @precondition(lambda self: any(worker.holds for worker in self.workers))
    @rule(data=st.data())
    def postpone(self, data: Any) -> None:
        worker = data.draw(st.sampled_from([worker for worker in self.workers if worker.holds]))
        job = worker.holds.pop()
        call = self.queue._call("postpone", (worker.id, job.id, job.token, 2_000, 3_600_000), bytes.decode)
        self.sent.append((job.id, call))
        answer = self.run_call(call)
        assert answer in ("OK", "MISSING") or self.was_lost(worker.id)
        if answer == "OK":
            assert self.field(job.id, "state") in ("postponed", "cancelled", None)
        assert self.run_call(call) in ("ALREADY", "MISSING", "STALE"), "a repeat was accepted"

    @rule()
    def one_of_each_priority_comes(self) -> None:
        self.enqueue(list(PRIORITIES), "", "", None, "", 0, "fail", "a")


def test_the_tables_have_what_was_added():
    assert PRIORITIES[0] == "urgent"
    assert "skipped" in ENDED
    assert "postponed" in PURGEABLE


def test_the_invariants_hold_with_one_more_priority_and_state(lab_server):  # noqa: F811
    run_state_machine_as_test(
        type("Machine", (WithMore,), {"server": lab_server}), settings=settings(QUICK, max_examples=30)
    )
