"""`init`: adds Gopher to a project."""

from pathlib import Path

import click

from gopher.errors import ConfigurationError

from .output import Output
from .scaffold import FRAMEWORKS, File, has_task, project_files


@click.command()
@click.option("--flask", "framework", flag_value="flask", help="Run jobs in the application's context.")
@click.option("--django", "framework", flag_value="django", help="Set Django up, and check its database connections.")
@click.option("--fastapi", "framework", flag_value="fastapi", help="Start uvicorn in the Procfile.")
@click.option("--module", metavar="NAME", default="jobs", help="Module for the tasks.  [default: jobs]")
@click.option(
    "--json",
    "out",
    is_flag=True,
    callback=lambda context, parameter, value: Output(value),
    help="Print JSON to stdout; messages go to stderr.",
)
def init(out: Output, framework: str | None, module: str) -> int:
    """Add Gopher to the project in the current folder, which may be empty.

    Writes a module with a task, a test, Procfile, requirements and Dockerfile, and shows the next three commands. A
    file that exists is left alone; then it shows what to add by hand.
    """
    if not all(part.isidentifier() for part in module.split(".")):
        raise click.UsageError(f"--module {module!r}: expected a module name such as jobs or shop.jobs.")
    folder = Path.cwd()
    found = list(project_files(folder, FRAMEWORKS[framework or ""], module))
    created = [file.path for file in found if _written(folder, file)]
    left = [file for file in found if file.path not in created and _differs(folder, file)]
    steps = next_steps(module, with_task=has_task(folder, module))
    told = {
        "created": created,
        "left_alone": [{"path": file.path, "add": file.by_hand} for file in left],
        "next": [command for command, _ in steps],
    }
    if not out.data(told):
        _show(out, created, left, steps)
    return 0


def next_steps(module: str, *, with_task: bool = True) -> list[tuple[str, str]]:
    """Return the commands that follow, each with what it does; `with_task` says whether the module has our task."""
    payload = """'{"name": "Ann"}'"""
    submit = f"GOPHER_URL=http://localhost:8080 gopherctl submit -t {module}.greet -p {payload} --wait"
    up = (
        f"gopherctl up --handlers {module}",
        "run server, API, worker and scheduler; the dashboard is at http://localhost:8080/dashboard",
    )
    if not with_task:
        return [up]
    return [
        up,
        (submit, "in a second terminal: run a first job"),
        ("pip install -r requirements-dev.txt && python -m pytest", "run the test"),
    ]


def _written(folder: Path, file: File) -> bool:
    """Write a file, unless there is one; return whether it was written."""
    path = folder / file.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as opened:
            opened.write(file.content)
    except FileExistsError as error:
        if not path.parent.is_dir():
            raise ConfigurationError(f"{path.parent} is a file: choose another module with --module") from error
        return False
    return True


def _differs(folder: Path, file: File) -> bool:
    path = folder / file.path
    return not path.is_file() or path.read_text(errors="replace") != file.content


def _show(out: Output, created: list[str], left: list[File], steps: list[tuple[str, str]]) -> None:
    for path in created:
        out.line(f"created     {path}")
    for file in left:
        out.line(f"left alone  {file.path}{', which exists; add by hand:' if file.by_hand else ', which exists'}")
        for line in file.by_hand.splitlines():
            out.line(f"              {line}")
    out.line("\nNext:")
    for command, what in steps:
        out.line(f"\n  # {what}\n  {command}")
