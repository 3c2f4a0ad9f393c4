"""The chart: bars of the most important figures, Gopher and its peers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .numbers import shown, spread

if TYPE_CHECKING:
    from .results import Results

#: Figure -> its title.
TITLES = {
    "drain": "No-op jobs per second, two processes",
    "enqueue, one by one": "Jobs enqueued per second, one by one",
    "pick-up p50": "Idle worker: ms until a job starts, median",
}
OURS, THEIRS, LIMIT = "#1f6feb", "#b6bec9", "#e3b341"


def draw(results: "Results", path: Path) -> bool:
    """Write the chart; return False without data or matplotlib."""
    names = [name for name in TITLES if any(name in values for values in results.values.values())]
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    if not names:
        return False
    mpl.use("svg")
    import matplotlib.pyplot as plt

    # Text as text, and nothing that differs between runs.
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "gopher"}):
        figure, axes = plt.subplots(len(names), 1, figsize=(7, 2.6 * len(names)), squeeze=False)
        for axis, name in zip(axes[:, 0], names, strict=True):
            _bars(axis, results, name)
        figure.supxlabel("bars: medians; lines: range over all rounds", fontsize=7, color="#57606a")
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return True


def _bars(axis: Any, results: "Results", name: str) -> None:
    rows = {who: spread(values[name]) for who, values in results.values.items() if name in values}
    order = sorted(rows, key=lambda who: rows[who].median, reverse=name.startswith("pick-up"))
    for place, who in enumerate(order):
        row = rows[who]
        axis.barh(place, row.median, color={"Gopher": OURS, "limit": LIMIT}.get(who, THEIRS))
        axis.plot([row.least, row.most], [place, place], color="#24292f", linewidth=1)
        axis.text(row.most, place, f" {shown(row.median)}", va="center", fontsize=8)
    axis.set_yticks(range(len(order)), order)
    axis.set_title(TITLES[name], loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.12)
