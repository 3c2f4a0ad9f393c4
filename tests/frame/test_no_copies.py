"""No two places outside the tests share ten or more identical lines: what is written once is changed once."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: Lines, blank ones and indentation aside.
MOST = 9
#: Data, other people's files, and what is written by a tool.
_NOT_OURS = (".json", ".png", ".webp", ".svg", ".txt", "LICENSE")
_VENDORED = "app/static/docs/"
#: Lines that say little, by which two copies may differ.
_THIN = re.compile(r"^[^\S\n]*(?:(?:#|--|//|/\*|\*|<!--|import\b|from\b).*|[^\w\n]*)$", re.MULTILINE)


def files(root: Path) -> Iterator[tuple[str, str]]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines():
        if not name.startswith(("tests/", _VENDORED)) and not name.endswith(_NOT_OURS) and (root / name).is_file():
            yield name, (root / name).read_text()


def shared(texts: Iterator[tuple[str, str]]) -> list[str]:
    """Return the places at which more than MOST lines are those of an earlier place."""
    first: dict[tuple[str, ...], tuple[str, int]] = {}
    found: dict[tuple[str, str], str] = {}
    for name, text in texts:
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        for at in range(len(lines) - MOST):
            (number, _), window = lines[at], tuple(line for _, line in lines[at : at + MOST + 1])
            there, line = first.setdefault(window, (name, number))
            # Two places of one file overlap when a line is repeated.
            if (there, line) != (name, number) and (there != name or number - line > MOST):
                found.setdefault((there, name), f"{there}:{line} and {name}:{number}")
    return list(found.values())


def test_copies_are_found():
    lines = "\n".join(f"line {number}" for number in range(MOST + 1))
    assert shared(iter([("a", f"x\n{lines}\ny"), ("b", lines.replace("\n", "\n\n  "))])) == ["a:2 and b:1"]
    assert shared(iter([("a", f"{lines}\n-\n{lines}")])) == [f"a:1 and a:{MOST + 3}"]
    assert shared(iter([("a", lines), ("b", lines.removeprefix("line 0\n"))])) == []
    assert shared(iter([("a", "same\n" * (MOST + 3))])) == []


def test_no_two_places_share_ten_lines(root):
    assert not shared(files(root))


def test_no_two_places_share_ten_lines_but_for_comments_and_imports(root):
    assert not shared((name, _THIN.sub("", text)) for name, text in files(root))
