"""Bugs planted into the scripts that store a job and hand it to a worker are found."""

import pytest

from tests.invariants.hunting import bugs, hunt


@pytest.mark.parametrize("name", bugs(on_the_way_in=True))
def test_a_planted_bug_is_found(lab_server, name):
    hunt(lab_server, name)
