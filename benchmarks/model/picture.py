"""The picture: the server's CPU time of each run, as measured and by the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS, TRIED = "#1f6feb", "#cf222e"


def draw(found: Mapping[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    # Text as text, and nothing that differs between runs.
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "gopher"}):
        figure, axis = plt.subplots(figsize=(6, 4.5))
        _points(axis, found["runs"], OURS, "runs that it was fitted to")
        _points(axis, found["trials"], TRIED, "trials")
        least, most = axis.get_xlim()
        axis.plot([least, most], [least, most], color="#57606a", linewidth=0.8)
        axis.fill_between(
            [least, most], [0.85 * least, 0.85 * most], [1.15 * least, 1.15 * most], color="#b6bec9", alpha=0.4
        )
        axis.set(xscale="log", yscale="log", xlabel="measured (ms)", ylabel="by the model (ms)")
        axis.set_title("CPU time of the server for each run; shaded: 15 % off", loc="left", fontsize=10)
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _points(axis: Any, runs: Mapping[str, Any], color: str, label: str) -> None:
    measured = [run["cpu"]["measured"] / 1000 for run in runs.values()]
    axis.scatter(measured, [run["cpu"]["model"] / 1000 for run in runs.values()], color=color, label=label, s=18)
