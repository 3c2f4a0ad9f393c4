"""`make bench`: measure all contenders in several interleaved rounds; write a table and a picture.

SECONDS (1): about how long each measurement takes. ROUNDS (3). ONLY: items and contenders in lower case,
comma-separated, such as `drain,wake,gopher,huey`; if it contains no items, all are measured, and the same for
contenders. BENCH_DEEP (1000000): how many waiting jobs count as many. Results go to .bench, and those of a full run
to docs too.
"""

import os
import sys
from collections.abc import Iterable, Sequence

from . import machine
from .contenders import CONTENDERS, DOCS, Contender, LeftOut, cache_folder, prepare, version
from .items import Item, asking, deep, delaying, draining, idle, pictures, resting, sending, storing, trips, waking
from .numbers import shown
from .results import Results, publish

ITEMS = tuple(
    module.ITEM
    for module in (draining, sending, asking, waking, delaying, pictures, resting, idle, storing, deep, trips)
)


def main() -> int:
    seconds, rounds = float(os.environ.get("SECONDS", "1")), int(os.environ.get("ROUNDS", "3"))
    only = os.environ.get("ONLY", "")
    items, contenders = chosen(only)
    results = Results(machine.describe(), seconds, rounds)
    present = list(_prepared(contenders, results))
    for number in range(1, rounds + 1):
        _round(number, items, present, results)
        print(f"finished round {number} of {rounds}", flush=True)
    paths = results.write(cache_folder(), items)
    for path in paths + ([] if only else publish(paths, DOCS)):
        print(path)
    print(results.table(items))
    return 0


def chosen(only: str) -> tuple[list[Item], list[Contender]]:
    """Return the items and contenders in ONLY, and all of the kind of which it contains none."""
    words = {word.strip().lower() for word in only.split(",") if word.strip()}
    items = [item for item in ITEMS if item.name in words]
    contenders = [each for each in CONTENDERS if each.name.lower() in words]
    if unknown := words - {each.name.lower() for each in (*items, *contenders)}:
        known = ", ".join(each.name.lower() for each in (*ITEMS, *CONTENDERS))
        raise SystemExit(f"ONLY={only}: {', '.join(sorted(unknown))} is not among {known}")
    return items or list(ITEMS), contenders or list(CONTENDERS)


def _prepared(contenders: Iterable[Contender], results: Results) -> Iterable[Contender]:
    for contender in contenders:
        try:
            prepare(contender)
        except LeftOut as why:
            print(f"{contender.name} is skipped: {why}", flush=True)
            results.left_out[contender.name] = str(why)
            continue
        results.versions[contender.name] = version(contender)
        yield contender


def _round(number: int, items: Sequence[Item], contenders: Sequence[Contender], results: Results) -> None:
    for item in items:
        if not (item.once and number > 1):
            _measure(item, [each for each in contenders if item.takes_part(each)], results)


def _measure(item: Item, contenders: Sequence[Contender], results: Results) -> None:
    for contender, found in item.measure(contenders, results.seconds):
        if isinstance(found, Exception):
            print(f"{contender.name}: {item.name} failed: {found}", file=sys.stderr, flush=True)
            results.failed(contender.name, item.name, str(found))
        else:
            results.add(contender.name, found)
            print(
                f"{contender.name}: {', '.join(f'{name} {shown(value)}' for name, value in found.items())}", flush=True
            )


if __name__ == "__main__":
    sys.exit(main())
