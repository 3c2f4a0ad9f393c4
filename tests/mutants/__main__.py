"""Hunt the mutants of the Lua scripts with the scripts' tests and the state machine: `make mutants`."""

# ruff: noqa: T201 - a program

import argparse
import sys
import time
import zlib
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.mutants.equivalent import equivalent
from tests.mutants.generate import Mutant, mutants
from tests.mutants.hunt import Hunt, Outcome

#: The tests of the scripts; of those that belong to no queue the tests are elsewhere.
SCRIPTS = (
    "tests/lua",
    "tests/core/queue/test_names.py",
    "tests/app/test_rates.py",
    "tests/scheduler/test_forgetting.py",
)
#: The state machine hunts what these have missed.
MACHINE = ("tests/invariants/test_moves.py",)
#: One of this many mutants is in the sample, and of those the machine hunts the first ones by itself.
SAMPLED = 10
#: Writes without which a job is lost, kept or begun twice: the machine must find them alone, or it checks little.
FOR_THE_MACHINE = (
    "library/settle settle: without redis.call('LREM'",
    "library/give_back give_back: without redis.call('HDEL', record, 'token', 'progress')",
    "library/children release_child: without push_pending('LPUSH'",
    "library/dead_letters leave_group: without redis.call('ZREM'",
    "promote: without redis.call('ZREM'",
    "rescue: without redis.call('LPOP'",
    "retry: without redis.call('ZADD'",
    "library/rings draw_to: without redis.call('LPUSH'",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="texts whose mutants to hunt, such as fetch or library/limits")
    parser.add_argument(
        "--sample", action="store_true", help="hunt a tenth, and see what the state machine finds alone"
    )
    parser.add_argument("--list", action="store_true", help="print which test has caught each mutant")
    options = parser.parse_args()
    if options.sample:
        return sample()
    found = hunt([each for each in mutants() if not options.only or each.text in options.only], SCRIPTS)
    missed = {outcome.mutant for outcome in found if not outcome.caught_by}
    found = [outcome for outcome in found if outcome.caught_by]
    known = equivalent()
    # What is known to be equivalent is not given to the machine, which would take long to find nothing.
    found += hunt([mutant for mutant in mutants() if mutant in missed and mutant.name not in known], MACHINE)
    found += [Outcome(mutant, "", 0) for mutant in missed if mutant.name in known]
    if options.list:
        for outcome in found:
            print(f"{outcome.caught_by or 'MISSED'}\t{outcome.mutant.name}")
    return told(found)


def sample() -> int:
    """Hunt what is the same sample as long as the scripts are the same."""
    known = equivalent()
    alone = [mutant for mutant in mutants() if mutant.name.startswith(FOR_THE_MACHINE)]
    if len(alone) < len(FOR_THE_MACHINE):
        print(f"Of these only {len(alone)} are mutants: {FOR_THE_MACHINE}", file=sys.stderr)
        return 2
    sampled = [each for each in mutants() if zlib.crc32(each.name.encode()) % SAMPLED == 0 and each.name not in known]
    sampled = [each for each in sampled if not each.text.startswith("api/")]
    return max(told(hunt(sampled, SCRIPTS[:1])), told(hunt(alone, MACHINE)))


def hunt(hunted: Sequence[Mutant], tests: Sequence[str]) -> list[Outcome]:
    """Return what has become of each. Exits when a test fails without any mutant."""
    if not hunted:
        return []
    last = 0.0

    def tell(how_far: str) -> None:
        nonlocal last
        if time.monotonic() - last > (0.2 if sys.stderr.isatty() else 30):
            last = time.monotonic()
            print(f"\r{how_far}  ", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    plugin = Hunt(hunted, tell)
    # The second run of pytest finds its plugins imported.
    again = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    pytest.main(["-qq", "-n0", "-p", "no:cacheprovider", *again, *tests], plugins=[plugin])
    if plugin.broken or len(plugin.outcomes) < len(hunted):
        sys.exit(f"The tests fail without any mutant: {', '.join(plugin.broken) or tests}")
    return plugin.outcomes


def told(found: Sequence[Outcome]) -> int:
    """Print what has become of the mutants; return 1 if one got away or is wrongly said to be equivalent."""
    known = equivalent()
    missed = [outcome.mutant.name for outcome in found if not outcome.caught_by and outcome.mutant.name not in known]
    wrong = [outcome for outcome in found if outcome.caught_by and outcome.mutant.name in known]
    for name in missed:
        print(f"missed: {name}")
    for outcome in wrong:
        print(f"not equivalent, {outcome.caught_by} fails: {outcome.mutant.name}")
    by = Counter(outcome.caught_by.split("/")[1] for outcome in found if outcome.caught_by)
    folders = ", ".join(f"{count} by tests/{folder}" for folder, count in by.most_common())
    same = sum(not outcome.caught_by for outcome in found) - len(missed)
    print(f"{len(found)} mutants: {by.total()} caught ({folders}), {same} equivalent, {len(missed)} missed")
    return 1 if missed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
