"""The figures of one run, and how they are written: JSON, a Markdown table, a picture."""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from .contenders import NOT_PYTHON, ROOT
from .items import Figure, Item
from .machine import sentence
from .numbers import Spread, ratios, shown, spread

GOPHER = "Gopher"
#: The page's lines between these are those of the last whole run.
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


class Results:
    """What each contender reached in each round."""

    def __init__(self, about: dict[str, str], seconds: float, rounds: int) -> None:
        self.about = about
        self.seconds = seconds
        self.rounds = rounds
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.problems: list[str] = []
        #: Contender -> figure -> its values, in the order of the rounds.
        self.values: dict[str, dict[str, list[float]]] = {}

    def add(self, contender: str, found: dict[str, float]) -> None:
        for figure, value in found.items():
            self.values.setdefault(contender, {}).setdefault(figure, []).append(value)

    def failed(self, contender: str, item: str, problem: str) -> None:
        # The tracebacks of peers name files: where these lie on this machine says nothing to who reads the page.
        said = " ".join(problem.replace(f"{ROOT}/", "").split())
        self.problems.append(f"{contender}, {item}: {said[:200]}")

    def best_peer(self, figure: Figure) -> str | None:
        """Return the Python peer with the best median; None when none was measured."""
        medians = {
            name: spread(values[figure.name]).median
            for name, values in self.values.items()
            if figure.name in values and name != GOPHER and name not in NOT_PYTHON
        }
        best = max if figure.better == "more" else min
        return best(medians, key=lambda name: medians[name]) if medians else None

    def ratio(self, contender: str, figure: Figure) -> Spread | None:
        """Return how many times as good as a contender Gopher was, round by round."""
        ours = self.values.get(GOPHER, {}).get(figure.name)
        theirs = self.values.get(contender, {}).get(figure.name)
        # Of a round that failed for one of them nothing can be said; then none can be paired.
        if not ours or not theirs or len(ours) != len(theirs):
            return None
        above, below = (ours, theirs) if figure.better == "more" else (theirs, ours)
        # What is too little to be measured is a 0.
        return ratios(above, below) if all(below) else None

    def table(self, items: Iterable[Item]) -> str:
        """Return the whole report in Markdown."""
        parts = [f"{sentence(self.about)}. {self.rounds} rounds of about {self.seconds:g} s, contenders by turns."]
        parts += [self._figure(figure) for item in items for figure in item.figures if self._measured(figure)]
        parts += [f"{name} was left out: {why}." for name, why in self.left_out.items()]
        parts += [f"Failed: {problem}" for problem in self.problems]
        return "\n\n".join(parts) + "\n"

    def _measured(self, figure: Figure) -> bool:
        return any(figure.name in values for values in self.values.values())

    def _figure(self, figure: Figure) -> str:
        order = sorted(
            (name for name, values in self.values.items() if figure.name in values),
            key=lambda name: spread(self.values[name][figure.name]).median,
            reverse=figure.better == "more",
        )
        best = self.best_peer(figure)
        head = f"| {figure.name} ({figure.unit}) | median | least to most | Gopher is better by |\n|---|--:|--:|--:|"
        return "\n".join([head, *(self._row(name, figure, name == best) for name in order)])

    def _row(self, name: str, figure: Figure, is_best: bool) -> str:
        values = spread(self.values[name][figure.name])
        ratio = self.ratio(name, figure) if name != GOPHER else None
        better = f"{shown(ratio.median)} x ({shown(ratio.least)} to {shown(ratio.most)})" if ratio else ""
        label = f"**{name}**" if name == GOPHER else f"{name} {self.versions.get(name, '')}".strip()
        mark = " (best Python peer)" if is_best else ""
        return f"| {label}{mark} | {shown(values.median)} | {shown(values.least)} to {shown(values.most)} | {better} |"

    def write(self, folder: Path, items: Sequence[Item]) -> list[Path]:
        """Write results.json, results.md and, with matplotlib, results.svg; return their paths."""
        from .picture import draw

        data = {
            "about": self.about,
            "versions": self.versions,
            "left_out": self.left_out,
            "problems": self.problems,
            "values": self.values,
        }
        folder.mkdir(exist_ok=True)
        paths = [folder / "results.json", folder / "results.md"]
        paths[0].write_text(json.dumps(data, indent=1))
        paths[1].write_text(self.table(items))
        picture = folder / "results.svg"
        return [*paths, picture] if draw(self, picture) else paths


def publish(written: Sequence[Path], docs: Path) -> list[Path]:
    """Put the table and the picture of a run into the documents; return the paths of what has changed."""
    page, pictures = docs / "performance.md", [path for path in written if path.suffix == ".svg"]
    table = next(path for path in written if path.suffix == ".md").read_text()
    text = page.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    shown = "".join(f"![bars of the figures below]({page.stem}{path.suffix})\n\n" for path in pictures)
    page.write_text(f"{before}{BEGIN}\n\n{shown}{table}\n{END}{after}")
    for path in pictures:
        shutil.copy(path, docs / f"{page.stem}{path.suffix}")
    return [page, *(docs / f"{page.stem}{path.suffix}" for path in pictures)]
