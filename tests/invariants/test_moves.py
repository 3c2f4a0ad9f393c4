"""After any sequence of moves the invariants hold, and everything ends once the faults stop."""

from tests.invariants import hunting


def test_the_invariants_hold_after_any_sequence_of_moves(lab_server):
    hunting.run_machine(lab_server, hunting.QUICK)
