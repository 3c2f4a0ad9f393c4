"""The picture: processes over an hour, and the longest waits, by Gopher's answer and by queue latency alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What is drawn: label and colour.
LINES = {
    "capacity": ("Gopher's answer", "#1f6feb"),
    "latency": ("queue latency alone", "#cf222e"),
    "afterwards": ("computed afterwards", "#57606a"),
}


def draw(found: Mapping[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    style = {"svg.fonttype": "none", "svg.hashsalt": "gopher", "font.size": 9}
    with mpl.rc_context(style):
        figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 5))
        for which, (label, colour) in LINES.items():
            course = found["shown"][which]
            times = [at / 2 for at in range(len(course["processes"]))]
            above.step(times, course["processes"], where="post", color=colour, linewidth=1.2, label=label)
            if which != "afterwards":
                below.step(times, course["waits"], where="post", color=colour, linewidth=1.2)
        below.axhline(found["within"], color="#57606a", linewidth=0.8, linestyle="--")
        above.set(ylabel="processes", ylim=(0, None))
        below.set(xlabel="minutes", ylabel="longest wait (s)", ylim=(0, 4 * found["within"]), xlim=(0, 60))
        above.legend(frameon=False, fontsize=8)
        for axis in (above, below):
            axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
