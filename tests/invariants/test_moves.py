"""After any sequence of moves the invariants hold, and everything ends once the faults stop."""

from tests.invariants.hunting import QUICK, run_machine


def test_the_invariants_hold_after_any_sequence_of_moves(lab_server):
    run_machine(lab_server, QUICK)
