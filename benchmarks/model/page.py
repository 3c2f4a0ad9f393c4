"""Writes the tables, between pairs of marks, and the picture of docs/scaling.md."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.contenders import DOCS
from benchmarks.machine import sentence
from benchmarks.numbers import shown

from .costs import EVENTS, FLOWS, STORED, Costs, costs_in
from .plan import Needs, kinds, needs

PAGE, PICTURE = DOCS / "scaling.md", DOCS / "scaling.svg"
#: Jobs per second, KB of payload and seconds of retention in the table of needs.
RATES, KILOBYTES, RETENTION = (1_000, 3_000, 10_000, 30_000, 100_000), 0.5, 3600.0
#: Bytes below which it does not matter how good the model is.
LEAST = 100_000.0
_MARKED = re.compile(r"(<!-- model: (\w+) -->\n).*?(<!-- /model -->)", re.DOTALL)
_HEADS = {"cpu": "CPU (µs)", "received": "received (bytes)", "sent": "sent (bytes)", "aof": "append-only file (bytes)"}


def write(found: Mapping[str, Any]) -> None:
    from .picture import draw

    PAGE.write_text(rewritten(PAGE.read_text(), found))
    draw(found, PICTURE)


def rewritten(text: str, found: Mapping[str, Any]) -> str:
    """Return the page with the tables of a measurement."""
    tables: dict[str, Callable[[Mapping[str, Any], Costs], str]] = {
        "about": _about,
        "events": _events,
        "stored": _stored,
        "runs": _runs,
        "needs": _needs,
        "idle": _idle,
    }
    costs = costs_in(found)
    return _MARKED.sub(lambda match: f"{match[1]}\n{tables[match[2]](found, costs)}\n\n{match[3]}", text)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    line = "|---|" + "--:|" * (len(heads) - 1)
    return "\n".join(
        ["| " + " | ".join(row) + " |" for row in (heads,)] + [line] + [f"| {' | '.join(row)} |" for row in rows]
    )


def _about(found: Mapping[str, Any], costs: Costs) -> str:
    return f"{sentence(found['about'])}. {found['rounds']} interleaved rounds: medians, and the least CPU times."


def _events(found: Mapping[str, Any], costs: Costs) -> str:
    rows = [[what, *(_amount(costs.flows[flow][event]) for flow in FLOWS)] for event, what in EVENTS.items()]
    return _table(["event", *(_HEADS[flow] for flow in FLOWS)], rows)


def _amount(value: float) -> str:
    return "0" if value < 0.5 else shown(value)


def _stored(found: Mapping[str, Any], costs: Costs) -> str:
    return _table(["what", "bytes"], [[what, shown(costs.memory[thing])] for thing, what in STORED.items()])


def _runs(found: Mapping[str, Any], costs: Costs) -> str:
    rows = []
    for name, run in {**found["runs"], **found["trials"]}.items():
        is_trial = name in found["trials"]
        cells = [_error(run.get(flow), LEAST if flow != "cpu" else 0.0) for flow in (*FLOWS, "memory")]
        rows.append([f"**{TRIALS[name]}**" if is_trial else name, shown(run["cpu"]["measured"] / 1000), *cells])
    return _table(["run", "server CPU (ms)", "CPU", "received", "sent", "append-only file", "memory"], rows)


TRIALS = {
    "bulk": "trial: 12,000 jobs in batches of 250, worked off at full speed",
    "stream": "trial: 100 jobs a second, a fifth delayed; two workers, a scheduler",
}


def _error(figures: Mapping[str, float] | None, least: float) -> str:
    """Return by how much the model is off; nothing for what is too little to matter."""
    if figures is None or figures["measured"] < least:
        return ""
    return f"{(figures['model'] / figures['measured'] - 1) * 100:+.0f} %".replace("-0 ", "0 ").replace("+0 ", "0 ")


def _needs(found: Mapping[str, Any], costs: Costs) -> str:
    rows = []
    for kind in kinds(costs):
        for rate in RATES:
            need = needs(costs, kind, rate, KILOBYTES, RETENTION)
            rows.append([f"{rate:,} {kind.name}", *_cells(need)])
    heads = ["jobs per second", "cores of the server", "nodes", "queues", "workers", "connections"]
    return _table([*heads, "memory", "network", "append-only file"], rows)


def _cells(need: Needs) -> list[str]:
    sizes = [f"{shown(need.kept / 1e9)} GB", f"{shown(need.network / 1e6)} MB/s", f"{shown(need.aof / 1e6)} MB/s"]
    return [shown(need.cores), *(f"{number:,}" for number in need[1:5]), *sizes]


def _idle(found: Mapping[str, Any], costs: Costs) -> str:
    rows = []
    for workers in (10, 100, 1000, 5000):
        events = {"worker": workers, "second": 1.0, "queue": 1.0}
        cpu, bytes_in = (costs.of(events, flow) for flow in ("cpu", "received"))
        memory = costs.stored({"worker": workers})
        sizes = [f"{shown(cpu / 1e4)} %", f"{shown(bytes_in / 1e3)} kB/s", f"{shown(memory / 1e6)} MB"]
        rows.append([f"{workers:,}", f"{workers:,}", *sizes])
    return _table(["idle workers of one queue", "connections", "of a core of the server", "received", "memory"], rows)
