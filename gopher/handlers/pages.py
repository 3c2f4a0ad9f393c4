"""Reports as HTML: a self-contained file without scripts; plots are inline SVG."""

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1b1f24, #e6e8ea); --soft: light-dark(#5f6873, #9aa4ae);
  --line: light-dark(#d9dde2, #3a4149); --bar: light-dark(#2f6fb0, #6aa9e9); --back: light-dark(#fff, #15181c);
  --bad: light-dark(#b3261e, #f2867e); --good: light-dark(#2e7d32, #81c784); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.when { color: var(--soft); margin: 0 0 1.5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
td { font-variant-numeric: tabular-nums; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; } .cards div { border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem 1rem; min-width: 7rem; } .cards span { color: var(--soft); }
.cards b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
ul { padding-left: 1.2rem; } .bad { color: var(--bad); } .good { color: var(--good); }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.legend span { margin-right: 1rem; } .legend i { display: inline-block; width: .8rem; height: .8rem;
  margin-right: .3rem; border-radius: .2rem; }
svg .soft { fill: var(--soft); } svg rect { fill: var(--bar); } svg line { stroke: var(--line); }
"""

# Of plots, in the units of their viewBox.
_WIDTH = 720
_ROW = 24
_LABELS = 170
_COLUMNS_HEIGHT = 160


def page(title: str, when: str, parts: Iterable[str]) -> str:
    """Return a complete page. `parts` are HTML; title and time are text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="when">{escape(when)}</p>\n' + "\n".join(parts) + "\n</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(parts)


def cards(values: Iterable[tuple[str, object]]) -> str:
    """Return a row of large numbers with labels."""
    return (
        '<div class="cards">'
        + "".join(f"<div><b>{escape(shown(value))}</b><span>{escape(name)}</span></div>" for name, value in values)
        + "</div>"
    )


def findings(lines: Sequence[str]) -> str:
    """Return the findings as a list, or a note that there are none."""
    if not lines:
        return '<p class="good">Nothing needs attention.</p>'
    return '<ul class="bad">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in row) + "</tr>\n" for row in rows)
    if not body:
        return "<p>None.</p>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """Return a plot of one horizontal bar per value."""
    largest = max((value for _, value in values), default=0)
    space = _WIDTH - _LABELS - 80
    rows = [
        _bar(index, label, value, space * value / largest if largest else 0)
        for index, (label, value) in enumerate(values)
    ]
    return svg(title, _ROW * max(1, len(values)), rows)


def _bar(index: int, label: str, value: float, length: float) -> str:
    top = index * _ROW
    shortened = label if len(label) <= 26 else label[:25] + "…"
    return (
        f'<text x="{_LABELS - 8}" y="{top + 16}" text-anchor="end">'
        f"<title>{escape(label)}</title>{escape(shortened)}</text>"
        f'<rect x="{_LABELS}" y="{top + 4}" width="{length:.1f}" height="{_ROW - 8}" rx="2"/>'
        f'<text class="soft" x="{_LABELS + length + 6:.1f}" y="{top + 16}">{escape(shown(value))}</text>'
    )


def columns(title: str, values: Sequence[tuple[str, float]]) -> str:
    """Return a plot of one column per value, such as a histogram."""
    largest = max((value for _, value in values), default=0)
    width = _WIDTH / max(1, len(values))
    drawn = [
        _column(index, width, label, value, _COLUMNS_HEIGHT * value / largest if largest else 0)
        for index, (label, value) in enumerate(values)
    ]
    base = _COLUMNS_HEIGHT + 20
    drawn.append(f'<line x1="0" y1="{base}" x2="{_WIDTH}" y2="{base}"/>')
    return svg(title, base + 20, drawn)


def _column(index: int, width: float, label: str, value: float, height: float) -> str:
    left, middle = index * width, (index + 0.5) * width
    top = _COLUMNS_HEIGHT + 20 - height
    count = f'<text class="soft" x="{middle:.1f}" y="{top - 4:.1f}" text-anchor="middle">{escape(shown(value))}</text>'
    return (
        f'<rect x="{left + 2:.1f}" y="{top:.1f}" width="{width - 4:.1f}" height="{height:.1f}" rx="2"/>'
        + (count if value else "")
        + f'<text x="{middle:.1f}" y="{_COLUMNS_HEIGHT + 36}" text-anchor="middle">{escape(label)}</text>'
    )


def svg(title: str, height: float, parts: Iterable[str]) -> str:
    """Return an SVG of the common width."""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>" + "".join(parts) + "</svg>"
    )


def shown(value: object) -> str:
    """Format a value: 12,345, 0.25, a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 or value.is_integer() else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
