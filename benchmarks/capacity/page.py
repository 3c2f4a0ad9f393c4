"""Writes the tables, between pairs of marks, and the picture of docs/autoscaling.md."""

import re
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

from benchmarks.contenders import DOCS

from .workload import HOURS

PAGE, PICTURE = DOCS / "autoscaling.md", DOCS / "autoscaling.svg"
_MARKED = re.compile(r"(<!-- capacity: (\w+) -->\n).*?(<!-- /capacity -->)", re.DOTALL)
_WHAT = {
    "mixed": "thumbnails and mail at rates that change, bursts of reports, videos of 90 to 300 s",
    "small": "mail, few bursts, few videos",
    "steady": "10 jobs/s of about 1 s",
    "bursts": "mail, and bursts of 50 to 200 jobs of 4 s every four minutes",
    "long jobs": "mail, and videos of 2 to 15 minutes",
    "a day's start": "24 times as many jobs from one moment to the next, for half an hour",
}
assert _WHAT.keys() == HOURS.keys()


def write(found: Mapping[str, Any]) -> None:
    from .picture import draw

    PAGE.write_text(rewritten(PAGE.read_text(), found))
    draw(found, PICTURE)


def rewritten(text: str, found: Mapping[str, Any]) -> str:
    """Return the page with the tables of the results."""
    tables: dict[str, Callable[[Mapping[str, Any]], str]] = {"hours": _hours, "real": _real}
    return _MARKED.sub(lambda match: f"{match[1]}\n{tables[match[2]](found)}\n\n{match[3]}", text)


def _hours(found: Mapping[str, Any]) -> str:
    lines = [
        "| hour | jobs | in time | processes: afterwards | work | queue latency alone: in time | processes |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, runs in found["hours"].items():
        first = runs[0]
        ratios = [
            f"{first[which]['process_seconds'] / first['afterwards']['process_seconds']:.2f} x"
            for which in ("capacity", "latency")
        ]
        work = fmean(run["capacity"]["process_seconds"] / run["work"] for run in runs)
        shares = [min(run[which]["within"] for run in runs) for which in ("capacity", "latency")]
        lines.append(
            f"| *{name}*: {_WHAT[name]} | {first['jobs']:,} | {shares[0]:.1%} | {ratios[0]} | {work:.2f} x | "
            f"{shares[1]:.1%} | {ratios[1]} |"
        )
    return "\n".join(lines)


def _real(found: Mapping[str, Any]) -> str:
    real, model = found["real"]["real"], found["real"]["model"]
    lines = ["| | real | simulation |", "|---|--:|--:|"]
    lines += [
        f"| jobs that started within 60 s | {real['within']:.1%} | {model['within']:.1%} |",
        f"| 95 % of the waits were below | {real['p95']:.1f} s | {model['p95']:.1f} s |",
        f"| process-seconds | {real['process_seconds']:,} | {model['process_seconds']:,} |",
        f"| processes, each half minute | {_row(real['processes'])} | {_row(model['processes'][1:])} |",
        f"| jobs that were interrupted | {real['interrupted']} | |",
    ]
    return "\n".join(lines)


def _row(counts: list[int]) -> str:
    return " ".join(map(str, counts))
