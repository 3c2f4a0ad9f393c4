"""Bugs planted into the scripts that settle jobs, and into all that keep them on their way, are found."""

import pytest

from tests.invariants.hunting import bugs, hunt


@pytest.mark.parametrize("name", bugs(on_the_way_in=False))
def test_a_planted_bug_is_found(lab_server, name):
    hunt(lab_server, name)
