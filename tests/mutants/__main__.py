"""Hunt all mutants of the Lua scripts: `python -m tests.mutants`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.mutants.equivalent import equivalent
from tests.mutants.generate import Mutant, mutants
from tests.mutants.hunt import Hunt

#: The tests of the scripts alone, then those of scripts that belong to no queue, then the state machine.
HUNTERS = (
    "tests/lua",
    "tests/core/queue/test_names.py",
    "tests/app/test_rates.py",
    "tests/scheduler/test_forgetting.py",
)
MACHINE = "tests/invariants/test_moves.py"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="texts whose mutants to hunt, such as fetch or library/limits")
    parser.add_argument("--tests", nargs="+", default=[*HUNTERS, MACHINE], help="files of tests to hunt with")
    parser.add_argument("--list", action="store_true", help="print what each mutant was caught by")
    options = parser.parse_args()
    known = equivalent()
    hunted = [each for each in mutants() if not options.only or each.text in options.only]
    hunt = run(hunted, options.tests)
    if hunt.broken:
        print(f"These tests fail without any mutant: {', '.join(hunt.broken)}", file=sys.stderr)
        return 2
    if options.list:
        for outcome in hunt.outcomes:
            print(f"{outcome.caught_by or 'MISSED'}\t{outcome.tests}\t{outcome.mutant.name}")
    missed = [outcome for outcome in hunt.outcomes if not outcome.caught_by]
    unknown = [outcome for outcome in missed if outcome.mutant.name not in known]
    by = Counter(outcome.caught_by.split("/")[1] for outcome in hunt.outcomes if outcome.caught_by)
    for outcome in unknown:
        print(f"missed ({outcome.tests} tests reach it)  {outcome.mutant.name}")
    for outcome in hunt.outcomes:
        if outcome.caught_by and outcome.mutant.name in known:
            print(f"not equivalent, {outcome.caught_by} fails  {outcome.mutant.name}")
    print(
        f"{len(hunt.outcomes)} mutants: {sum(by.values())} caught"
        f" ({', '.join(f'{count} by tests/{folder}' for folder, count in by.most_common())}),"
        f" {len(missed) - len(unknown)} equivalent, {len(unknown)} missed"
    )
    return 1 if unknown else 0


def run(hunted: Sequence[Mutant], tests: Sequence[str]) -> Hunt:
    last = 0.0

    def tell(how_far: str) -> None:
        nonlocal last
        if time.monotonic() - last > (0.2 if sys.stderr.isatty() else 15):
            last = time.monotonic()
            print(f"\r{how_far}  ", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    hunt = Hunt(hunted, tell)
    pytest.main(["-qq", "-n0", "-p", "no:cacheprovider", *tests], plugins=[hunt])
    return hunt


if __name__ == "__main__":
    sys.exit(main())
