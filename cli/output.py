"""Output of commands: JSON for machines, tables and colours on a terminal, plain text otherwise.

Results go to stdout, everything else to stderr.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from gopher.base.installed import is_installed
from gopher.base.printable import ascii_json, printable_json
from gopher.base.printable import printable as written_out
from gopher.base.states import State
from gopher.base.terminal import is_dumb, wants_colours

from .streams import writes_unicode

if TYPE_CHECKING:
    from rich.console import RenderableType

Cell = str | int | float | None

#: Colours of job states.
COLOURS = {state.value: state.colour for state in State}

#: Cells are shortened to this width, if a table does not fit otherwise.
_SHORTEST = 8
#: The width of an id, which has to be complete to be of use.
_COMPLETE = 36
#: Minimum width of the last column of a table, if its text needs it.
_WORDS = 32


class Output:
    """The output of a command. `as_json` is the value of `--json`."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.terminal = sys.stdout.isatty()

    def data(self, value: Any) -> bool:
        """Print `value` as JSON with `--json`; return whether it was printed."""
        if self.as_json:
            text = msgspec.json.encode(value)
            if self.terminal:
                text = msgspec.json.format(text, indent=2)
            shown = printable_json(text.decode())
            # JSON is UTF-8, whatever the encoding of a file or pipe.
            click.echo((shown if not self.terminal or writes_unicode() else ascii_json(shown)).encode())
        return self.as_json

    def line(self, text: str) -> None:
        """Print a line of the result."""
        click.echo(printable(text))

    def note(self, text: str) -> None:
        """Print a message to stderr."""
        click.echo(printable(text), err=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Cell]],
        *,
        empty: str,
        less_needed: Iterable[str] = (),
    ) -> None:
        """Print rows below a header; without rows, print `empty` to stderr instead.

        On a terminal the table fits its width, without the columns of `less_needed` if need be, in that order.
        """
        texts = [[shown(cell) for cell in row] for row in rows]
        if not texts:
            self.note(empty)
        elif self.terminal:
            width = shutil.get_terminal_size().columns
            shown_columns, shown_texts = fitting(columns, texts, width, less_needed)
            if is_installed("terminal"):
                self._render(rich_table(shown_columns, shown_texts), _least_width(shown_columns, shown_texts))
            else:
                click.echo(plain_table(shown_columns, shown_texts))
            if hidden := [column for column in columns if column not in shown_columns]:
                self.note(f"not shown, as the terminal has {width} columns: {', '.join(hidden)}")
        else:
            click.echo(plain_table(columns, texts))

    def corrupt(self, rows: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Report the corrupt rows of a table by name, with the fields that can't be read."""
        for name, fields in rows:
            if fields:
                self.note(f"{name} is corrupt: {', '.join(fields)} can't be read")

    def fields(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        """Print names and values, one pair per line, without empty values."""
        told = [(name, shown(value)) for name, value in pairs if value not in (None, "")]
        width = max((len(name) for name, _ in told), default=0)
        for name, value in told:
            indented = value.replace("\n", "\n" + " " * (width + 2))
            click.echo(f"{click.style(name.ljust(width), dim=True)}  {click.style(indented, fg=COLOURS.get(value))}")

    def confirm(self, question: str, yes: bool) -> None:
        """Ask for confirmation, unless `--yes` was given.

        Raises Abort if declined, UsageError without a terminal.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise click.UsageError("this deletes permanently, and there is no terminal to confirm it: add --yes.")
        if not click.confirm(question, err=True):
            self.note("nothing was deleted")
            raise click.Abort

    def progress(self, what: str) -> Callable[[int], None]:
        """Return a function that shows a growing count, on a terminal only."""
        if not sys.stderr.isatty() or is_dumb():
            return lambda count: None
        return lambda count: click.echo(f"\r{what}: {count:,}", nl=False, err=True)

    def _render(self, renderable: "RenderableType", least_width: int) -> None:
        from rich.console import Console

        console = Console(highlight=False, color_system="auto" if wants_colours() else None)
        # A split id could not be copied: where even that does not fit, lines wrap.
        console.width = max(console.width, least_width)
        console.print(renderable, crop=False)


def draws(stream: IO[Any]) -> bool:
    """Return whether tables and bars can be redrawn in place there."""
    return stream.isatty() and not is_dumb() and is_installed("terminal")


def printable(text: str) -> str:
    """Escape control characters: a job's output must not control the reader's terminal."""
    return written_out(text, keep="\n\t")


def shown(value: Cell) -> str:
    """Return a cell as text."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return printable(f"{value:,}" if isinstance(value, int) else value)


def one_line(value: object, width: int = 60) -> str:
    """Return a value as one line, truncated to `width` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def when(time: str | None) -> str:
    """Format an RFC 3339 time as `2026-11-24 08:00:00` (UTC)."""
    return time[:19].replace("T", " ") if time else "-"


def seconds(value: float | None) -> str:
    """Return a duration in its shortest form."""
    from gopher.base.durations import format_duration

    return "-" if value is None else format_duration(value)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned text: one line per row, two spaces between columns."""
    lines = [[column.upper() for column in columns], *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join(padded)


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, less_needed: Iterable[str]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return a table that fits into `width` characters, without the less important columns if need be.

    If that is not enough, long cells are shortened; last those of the first column, and never to less than an id.
    """
    kept = list(range(len(columns)))
    for name in less_needed:
        shown = [[line[index] for index in kept] for line in (columns, *rows)]
        if _least_width(shown[0], shown[1:]) <= width:
            break
        kept.remove(columns.index(name))
    head, *body = ([line[index] for index in kept] for line in (columns, *rows))
    widths = _shortened(head, body, _least_width(head, body) - width)
    for line in (head, *body):
        line[:-1] = [one_line(cell, most) for cell, most in zip(line[:-1], widths, strict=True)]
    return head, body


def _shortened(columns: Sequence[str], rows: Sequence[Sequence[str]], excess: int) -> list[int]:
    """Return the widths of all columns but the last, which wraps, after `excess` characters were taken from them."""
    widths = _widths(columns, rows)[:-1]
    for first, shortest in ((1, _SHORTEST), (0, _COMPLETE)):
        for index in range(first, len(widths)):
            # A figure that is cut would be another one.
            figures = [len(row[index]) for row in rows if row[index][:1].isdigit()]
            taken = max(min(excess, widths[index] - max([shortest, *figures])), 0)
            widths[index] -= taken
            excess -= taken
    return widths


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[index]) for line in (columns, *rows)) for index in range(len(columns))]


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the width at which only the last column wraps, and has room for some words."""
    widths = _widths(columns, rows)
    return sum(widths[:-1]) + 2 * (len(columns) - 1) + min(widths[-1], _WORDS)


def rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> "RenderableType":
    """Return a table for a terminal: coloured states, and only the last column wraps."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        last = index == len(columns) - 1
        table.add_column(column, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    return table
