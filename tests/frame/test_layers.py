"""Who may import whom: the core nobody above it, the parts not each other; the command line starts the others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PARTS = ("app", "worker", "scheduler", "cli", "testing")


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute names of modules that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offences(root: Path, folder: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(root)} imports {name}"
        for path in sorted((root / folder).rglob("*.py"))
        for name in imports(path)
        if any(name == each or name.startswith(each + ".") for each in forbidden)
    ]


def test_the_core_knows_nobody_above_it(root):
    assert not offences(root, "gopher", {f"gopher.{part}" for part in PARTS})


def test_the_core_does_not_reach_above_itself_by_a_relative_import(root):
    for path in (root / "gopher").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                first = (node.module or node.names[0].name).split(".")[0]
                assert first not in PARTS, f"{path}: from .{first}"


@pytest.mark.parametrize("part", ["app", "worker", "scheduler"])
def test_the_parts_do_not_know_each_other(root, part):
    assert not offences(root, part, {f"gopher.{other}" for other in PARTS if other != part})


@pytest.mark.parametrize("folder", ["gopher", *PARTS, "tests"])
def test_nobody_imports_a_part_by_the_name_of_its_folder(root, folder):
    assert not offences(root, folder, set(PARTS))


def test_a_job_knows_no_server(root):
    pure = ["job", "retry", "registry", "durations", "errors", "names", "settings", "values", "address"]
    for name in pure:
        assert not [each for each in imports(root / "gopher" / f"{name}.py") if each.split(".")[0] == "redis"]
