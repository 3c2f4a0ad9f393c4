"""Who may import whom: one table of rooms, each of which knows only those that stand before it."""

import ast
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

#: The rooms of the core, the lowest first. `gopher/<name>.py` is a room of its own.
ROOMS = (
    "compat",  # private parts of libraries; imports none of them
    "base.patterns",
    "base.durations",  # errors that a handler raises take durations
    "base.renamed",
    "errors",
    "base",
    "config",
    "jobs",
    "hooks",
    "telemetry",
    "outbound",
    "server",
    "queue",
    "reads",
    "files",
    "webhooks",
    "interface",
    "admin",
    "client",
    "aio",
    "api_client",
    "tasks",
    "integrations",
)
#: Modules that hold nothing of their own: public names of what lies in a room.
FACADES = {"middleware", "registry", "retry", "submission", "views"}
PARTS = ("app", "worker", "scheduler", "cli", "testing")
#: The parts of a worker, the lowest first. Its two sides, queue_side and children, do not know each other.
WORKER = (
    "messages",
    "running",
    "attempt",
    "job_logs",
    "signals",
    "children.failures",
    "tracing.spans",
    "tracing.attempts",
    "tracing.sender",  # by which a child hands over its spans
    "children",
    "queue_side",
    "tracing",
    "prefetch",
    "crew",
    "memory",  # admission by memory
    "worker_info",
    "reports",
    "environment",
    "commands",
    "presence",
    "lease",
    "events",
    "preemption",
    "outcomes",
    "stack_requests",
    "child_io",
    "dispatcher",
    "duties",
    "shutdown",
    "burst",
    "supervisor",
    "__main__",
)
#: Knows the names at the top only, with what they are made of.
HANDLERS = "handlers"


def module_of(root: Path, path: Path) -> str:
    """Return the name under which a file is imported."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts if parts[0] == "gopher" else ["gopher", *parts])


def imports(root: Path, path: Path) -> Sequence[str]:
    """Return the absolute names that a file imports, also inside its functions and for types."""
    package = module_of(root, path)
    return _imports_of(package if path.name == "__init__.py" else package.rpartition(".")[0], path.read_text())


@cache
def _imports_of(package: str, source: str) -> Sequence[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found += (f"{module}.{alias.name}" for alias in node.names)
    return found


def room_of(name: str, package: str = "gopher", rooms: Sequence[str] = ROOMS) -> str | None:
    """Return the room of a package in which a name lies; None for what is not in the package."""
    inside = name.removeprefix(package + ".")
    return next((room for room in rooms if inside != name and f"{inside}.".startswith(room + ".")), None)


def arrows_up(root: Path, folder: str, package: str, rooms: Sequence[str]) -> list[str]:
    """Return who imports what stands after its own room."""
    wrong = []
    for path in sorted((root / folder).rglob("*.py")):
        here = room_of(module_of(root, path), package, rooms)
        for name in imports(root, path) if here else ():
            there = room_of(name, package, rooms)
            if there and rooms.index(there) > rooms.index(here):
                wrong.append(f"{path.relative_to(root)} ({here}) imports {name} ({there})")
    return wrong


def offences(root: Path, folder: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(root)} imports {name}"
        for path in sorted((root / folder).rglob("*.py"))
        for name in imports(root, path)
        if any(name == each or name.startswith(each + ".") for each in forbidden)
    ]


def test_each_room_knows_only_those_before_it(root):
    assert not arrows_up(root, "gopher", "gopher", ROOMS)


def test_each_part_of_a_worker_knows_only_those_before_it(root):
    assert not arrows_up(root, "worker", "gopher.worker", WORKER)


def test_every_module_of_a_worker_is_in_its_table(root):
    modules = [module_of(root, path) for path in sorted((root / "worker").rglob("*.py"))]
    homeless = [name for name in modules if name != "gopher.worker" and room_of(name, "gopher.worker", WORKER) is None]
    assert not homeless


def test_every_module_of_the_core_is_in_a_package(root):
    homeless = [
        str(path.relative_to(root))
        for path in sorted((root / "gopher").rglob("*.py"))
        if room_of(module_of(root, path)) is None
        and path.relative_to(root / "gopher").parts[0] not in ("__init__.py", HANDLERS)
        and path.stem not in FACADES
    ]
    assert not homeless


def test_facades_only_hand_names_on(root):
    for name in FACADES:
        tree = ast.parse((root / "gopher" / f"{name}.py").read_text())
        assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in tree.body), name


def test_the_core_never_imports_its_handlers_or_its_facades(root):
    below = [path for path in (root / "gopher").rglob("*.py") if HANDLERS not in path.parts]
    names = {f"gopher.{name}" for name in FACADES} | {"gopher.handlers"}
    wrong = [
        f"{path.relative_to(root)} imports {name}"
        for path in below
        for name in imports(root, path)
        if any(name == each or name.startswith(each + ".") for each in names) and path.name != "__init__.py"
    ]
    assert not wrong


def test_the_core_knows_nothing_above_it(root):
    assert not offences(root, "gopher", {f"gopher.{part}" for part in PARTS})


@pytest.mark.parametrize("part", ["app", "worker", "scheduler"])
def test_the_parts_do_not_know_each_other(root, part):
    assert not offences(root, part, {f"gopher.{other}" for other in PARTS if other != part})


def test_the_two_sides_of_a_worker_do_not_know_each_other(root):
    assert not offences(root, "worker/children", {"gopher.worker.queue_side"})
    assert not offences(root, "worker/queue_side", {"gopher.worker.children"})


@pytest.mark.parametrize("folder", ["gopher", *PARTS, "tests"])
def test_no_part_is_imported_by_the_name_of_its_folder(root, folder):
    assert not offences(root, folder, set(PARTS))


def test_only_the_room_of_the_server_and_what_is_above_it_knows_redis(root):
    pure = ROOMS[: ROOMS.index("server")]
    for path in sorted((root / "gopher").rglob("*.py")):
        if room_of(module_of(root, path)) in pure:
            assert not [name for name in imports(root, path) if name.split(".")[0] == "redis"], path
