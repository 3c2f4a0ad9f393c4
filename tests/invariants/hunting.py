"""Runs of the state machine: the same sequences of moves each time, or many new ones (`make fuzz`)."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gopher.queue.store import Server
from tests.invariants.machine import Moves

#: How many sequences are tried.
SEQUENCES = int(os.environ.get("GOPHER_TEST_SEQUENCES", "60"))

QUICK = settings(
    deadline=None,
    max_examples=SEQUENCES,
    derandomize=SEQUENCES <= 60,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
#: A mutant is caught or not: what the shortest way to it is does not matter.
HUNT = settings(QUICK, report_multiple_bugs=False, phases=[Phase.generate], database=None, derandomize=True)


class EndsWell(Moves):
    """Also looks at what is left in the end."""

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            super().teardown()


def run_machine(server: Server, run: settings) -> None:
    run_state_machine_as_test(type("Machine", (EndsWell,), {"server": server}), settings=run)
