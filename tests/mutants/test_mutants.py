"""Mutants of the scripts: made of every write and every condition, and caught, but for those that nothing can tell from
their script. `make mutants` hunts all of them; `make test-deep` a sample."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.mutants.equivalent import FILE, equivalent
from tests.mutants.generate import _tree, changed, mutants, texts


def test_every_mutant_has_a_name_of_its_own():
    named = Counter(mutant.name for mutant in mutants())
    assert [name for name, count in named.items() if count > 1] == []


@pytest.mark.parametrize("text", texts())
def test_a_mutant_is_lua_and_differs_from_its_script(text):
    plain = changed(text)
    for mutant in mutants():
        if mutant.text == text:
            source = changed(text, *mutant.edits)
            assert source != plain, mutant.name
            _tree(source.encode())


def test_every_mutant_listed_as_equivalent_exists():
    names = {mutant.name for mutant in mutants()}
    gone = [name for name in equivalent() if name not in names]
    assert not gone, f"take these out of {FILE.name}, or find what they are called now: {gone}"
    assert all(equivalent().values()), "each has a reason"


@pytest.mark.deep
def test_a_sample_of_them_is_caught():
    hunt = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "--sample"], capture_output=True, text=True, timeout=3600, check=False
    )
    assert hunt.returncode == 0, hunt.stdout + hunt.stderr
