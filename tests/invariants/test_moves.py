"""After any sequence of moves the invariants hold, and everything ends once the faults stop."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gopher.embedded import EmbeddedServer
from gopher.server import Server
from gopher.settings import Settings
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


@pytest.fixture(scope="module")
def lab_server():
    """A server with nothing else in it, so that looking at all of it after each step is quick."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-moves-"))
    try:
        with (
            EmbeddedServer(folder, options={"appendonly": "no"}) as embedded,
            Server(Settings(redis_url=embedded.url, namespace="moves")) as server,
        ):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def machine(server, mutation=None):
    return type("Machine", (EndsWell,), {"server": server, "mutation": mutation})


def test_the_invariants_hold_after_any_sequence_of_moves(lab_server):
    run_state_machine_as_test(machine(lab_server), settings=QUICK)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(lab_server, name):
    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(machine(lab_server, MUTANTS[name]), settings=HUNT)
    assert "does not apply any more" not in str(found.value)
