"""Runs of the state machine: with the scripts as they are, and with a bug planted into one of them."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gopher.queue.store import Server
from tests.invariants.lab import Mutation
from tests.invariants.machine import Moves
from tests.invariants.mutants import MUTANTS

QUICK = settings(
    deadline=None,
    max_examples=60,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
#: A mutant is caught or not: what the shortest way to it is does not matter.
HUNT = settings(
    QUICK, max_examples=2000, report_multiple_bugs=False, phases=[Phase.generate], database=None, derandomize=True
)


class EndsWell(Moves):
    """Also looks at what is left in the end."""

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            super().teardown()


#: The scripts through which a job comes to its worker. The hunts are two files, since each file runs in one process.
WAY_IN = ("enqueue", "fetch")


def bugs(*, on_the_way_in: bool) -> list[str]:
    """Return the names of the bugs planted into the scripts of the way in, or into all others."""
    return [name for name, (script, *_) in MUTANTS.items() if (script in WAY_IN) == on_the_way_in]


def run_machine(server: Server, run: settings, mutation: Mutation | None = None) -> None:
    run_state_machine_as_test(type("Machine", (EndsWell,), {"server": server, "mutation": mutation}), settings=run)


def hunt(server: Server, name: str) -> None:
    """Fail unless the machine finds a planted bug."""
    with pytest.raises(AssertionError) as found:
        run_machine(server, HUNT, MUTANTS[name])
    assert "does not apply any more" not in str(found.value)
