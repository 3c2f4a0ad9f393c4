"""The page for troubleshooting has a row for each code that a user may see, and for no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gopher.app.problems import FAILURES

from gopher.base.states import TIMED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()


def rows(heading: str) -> list[str]:
    """Return the first cells of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def literals(path: Path, *callees: str, position: int = 0) -> Iterator[str]:
    """Yield the texts that are given to calls of these functions, at a position."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in callees and len(node.args) > position:
            given = node.args[position]
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                yield given.value


def test_every_error_code_of_the_api_has_a_row() -> None:
    # An HTTP error without a code of its own.
    assert sorted(rows("Error codes of the API")) == sorted([*FAILURES, "http_error"])


def test_every_reason_why_a_job_is_not_running_has_a_row() -> None:
    reasons = {code for path in (ROOT / "gopher/reads").glob("*.py") for code in literals(path, "Reason")}
    codes = {*reasons, *map(str, TIMED)}
    assert sorted(rows("Why a job isn't running")) == sorted(codes)


def test_every_error_that_gopher_gives_a_job_has_a_row() -> None:
    decisions = ROOT / "worker/queue_side/decisions.py"
    given = {*literals(decisions, "_dead", position=1), *literals(decisions, "_again", position=2)}
    for name in ("results.py", "child.py"):
        given |= {*literals(ROOT / "worker/children" / name, "BadResult")}
    assert given <= set(rows("Why a job failed"))


def test_every_check_of_doctor_has_a_row() -> None:
    checks = {name for path in (ROOT / "cli").glob("*.py") for name in literals(path, "Check")}
    assert sorted(rows("Findings of doctor")) == sorted(checks)


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)", (ROOT / "docs/README.md").read_text()))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
