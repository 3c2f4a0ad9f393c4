"""Fits the costs of events to measured runs, by least squares of the relative errors."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from .bench import Measured
from .costs import EVENTS, FLOWS, Costs, Events


class Row(NamedTuple):
    """A run: its events, and what the server took for them."""

    name: str
    events: Events
    flows: Mapping[str, float]


def typical(name: str, repeats: Sequence[tuple[Events, Measured]]) -> Row:
    """Return the medians of repeated runs, and the least CPU time: what else the machine does only adds to it."""
    events = {event: median(each[event] for each, _ in repeats) for event in repeats[0][0]}
    flows = {flow: median(found.flows[flow] for _, found in repeats) for flow in FLOWS}
    return Row(name, events, flows | {"cpu": min(found.flows["cpu"] for _, found in repeats)})


def fitted(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return what each event takes of each resource."""
    return {flow: _fitted(rows, flow) for flow in FLOWS}


def _fitted(rows: Sequence[Row], flow: str) -> dict[str, float]:
    import numpy as np

    events = list(EVENTS)
    weights = [1 / max(row.flows[flow], 1.0) for row in rows]
    scaled = list(zip(rows, weights, strict=True))
    matrix = np.array([[row.events.get(event, 0.0) * weight for event in events] for row, weight in scaled])
    target = np.array([row.flows[flow] * weight for row, weight in scaled])
    used = list(range(len(events)))
    while True:
        # Columns of a size, so that the numbers are well conditioned.
        sizes = np.abs(matrix[:, used]).max(axis=0)
        found = np.linalg.lstsq(matrix[:, used] / sizes, target, rcond=None)[0] / sizes
        # Nothing costs less than nothing.
        if (found >= 0).all():
            break
        used.pop(int(found.argmin()))
    costs: defaultdict[str, float] = defaultdict(float, zip([events[at] for at in used], found.tolist(), strict=True))
    return {event: costs[event] for event in events}


def error(costs: Costs, row: Row, flow: str) -> float:
    """Return by how much the model's figure differs from the measured one, as a fraction of that."""
    return costs.of(row.events, flow) / row.flows[flow] - 1
