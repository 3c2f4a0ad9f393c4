"""The figures of one run, written as JSON, Markdown tables and a picture."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .contenders import NOT_PYTHON, ROOT
from .items import Figure, Item
from .machine import sentence
from .numbers import Spread, ratios, shown, spread

GOPHER = "Gopher"
SINGLE_HEAD = "| figure | contender | median | range |\n|---|---|--:|--:|"
#: The lines of the page between these are from the last full run.
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def compared(ratio: Spread) -> str:
    """Return in words how Gopher compares, given how many times as good it was."""
    if ratio.least == ratio.most == 1:
        return "equal"
    if ratio.least <= 1 <= ratio.most:
        return f"about equal ({range_of(ratio)} x)"
    if not ratio.least:
        # The other one was too good to be measured.
        return "worse"
    if ratio.most < 1:
        return _times(Spread(1 / ratio.median, 1 / ratio.most, 1 / ratio.least), "worse")
    return _times(ratio, "better")


def _times(ratio: Spread, word: str) -> str:
    span = range_of(ratio)
    return f"{shown(ratio.median)} x {word}" + (f" ({span})" if span else "")


def range_of(values: Spread) -> str:
    """Return the least and the greatest value, nothing when there is only one."""
    return "" if values.least == values.most else f"{shown(values.least)} to {shown(values.most)}"


class Results:
    """The figures of each contender in each round."""

    def __init__(self, about: dict[str, str], seconds: float, rounds: int) -> None:
        self.about = about
        self.seconds = seconds
        self.rounds = rounds
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        #: What went wrong, in the contenders' own words: for results.json only.
        self.problems: list[str] = []
        #: Contender and item -> rounds that failed.
        self.failures: Counter[tuple[str, str]] = Counter()
        #: Contender -> figure -> its values, in the order of the rounds.
        self.values: dict[str, dict[str, list[float]]] = {}

    def add(self, contender: str, found: dict[str, float]) -> None:
        for figure, value in found.items():
            self.values.setdefault(contender, {}).setdefault(figure, []).append(value)

    def failed(self, contender: str, item: str, problem: str) -> None:
        # Tracebacks contain paths, which are of no interest beyond this machine.
        text = " ".join(problem.replace(f"{ROOT}/", "").split())
        self.problems.append(f"{contender}, {item}: {text[:200]}")
        self.failures[contender, item] += 1

    def best_peer(self, figure: Figure) -> str | None:
        """Return the Python peer with the best median; None if none was measured."""
        medians = {
            name: spread(values[figure.name]).median
            for name, values in self.values.items()
            if figure.name in values and name != GOPHER and name not in NOT_PYTHON
        }
        best = max if figure.better == "more" else min
        return best(medians, key=lambda name: medians[name]) if medians else None

    def ratio(self, contender: str, figure: Figure) -> Spread | None:
        """Return Gopher's ratio to a contender for each round."""
        ours = self.values.get(GOPHER, {}).get(figure.name)
        theirs = self.values.get(contender, {}).get(figure.name)
        # If a round failed for one of them, the rounds can't be paired.
        if not ours or not theirs or len(ours) != len(theirs):
            return None
        above, below = (ours, theirs) if figure.better == "more" else (theirs, ours)
        # Amounts too small to be measured are 0.
        return ratios(above, below) if all(below) else None

    def table(self, items: Iterable[Item]) -> str:
        """Return the whole report in Markdown: a table for each figure that several have, and one for all others."""
        figures = [figure for item in items for figure in item.figures]
        shared = [figure for figure in figures if len(self._measured(figure)) > 1]
        single = [figure for figure in figures if len(self._measured(figure)) == 1]
        parts = [f"{sentence(self.about)}. {self.rounds} rounds of about {self.seconds:g} s, contenders interleaved."]
        parts += [self._comparison(figure) for figure in shared]
        if single:
            parts.append(f"{SINGLE_HEAD}\n" + "\n".join(map(self._single_row, single)))
        parts += [f"{name} was skipped: {why}." for name, why in self.left_out.items()]
        parts += [
            f"Not measured: {name} in *{item}* ({count} of {self.rounds} rounds failed)."
            for (name, item), count in self.failures.items()
        ]
        return "\n\n".join(parts) + "\n"

    def _measured(self, figure: Figure) -> list[str]:
        return [name for name, values in self.values.items() if figure.name in values]

    def _comparison(self, figure: Figure) -> str:
        order = sorted(
            self._measured(figure),
            key=lambda name: spread(self.values[name][figure.name]).median,
            reverse=figure.better == "more",
        )
        best = self.best_peer(figure)
        head = f"| {figure.name} ({figure.unit}) | median | range | Gopher is |\n|---|--:|--:|--:|"
        return "\n".join([head, *(self._row(name, figure, name == best) for name in order)])

    def _row(self, name: str, figure: Figure, is_best: bool) -> str:
        values = spread(self.values[name][figure.name])
        ratio = self.ratio(name, figure) if name != GOPHER else None
        label = f"**{name}**" if name == GOPHER else f"{name} {self.versions.get(name, '')}".strip()
        mark = " (best Python peer)" if is_best else ""
        return f"| {label}{mark} | {shown(values.median)} | {range_of(values)} | {compared(ratio) if ratio else ''} |"

    def _single_row(self, figure: Figure) -> str:
        [name] = self._measured(figure)
        values = spread(self.values[name][figure.name])
        return f"| {figure.name} ({figure.unit}) | {name} | {shown(values.median)} | {range_of(values)} |"

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
    """Put the tables and the picture of a run into the documentation; return the paths of the changed files."""
    page, pictures = docs / "performance.md", [path for path in written if path.suffix == ".svg"]
    table = next(path for path in written if path.suffix == ".md").read_text()
    text = page.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    shown = "".join(f"![Bar charts of the figures below]({page.stem}{path.suffix})\n\n" for path in pictures)
    page.write_text(f"{before}{BEGIN}\n\n{shown}{table}\n{END}{after}")
    for path in pictures:
        shutil.copy(path, docs / f"{page.stem}{path.suffix}")
    return [page, *(docs / f"{page.stem}{path.suffix}" for path in pictures)]
