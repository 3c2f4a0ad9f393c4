"""`redrives`: gradual redrives of dead letters, which `retry-all --canary` or `--rate` starts."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from .common import client, common
from .groups import SuggestingGroup
from .output import Output, when


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@common
def redrives(out: Output) -> None:
    """Show and stop gradual redrives (retry-all --canary, --rate)."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@redrives.command("list")
@common
def list_redrives(out: Output) -> None:
    """List gradual redrives, including those that ended within the last day."""
    _list(out)


def _list(out: Output) -> None:
    with client() as gopher:
        views = gopher.dead_letters.redrives()
    if out.data({"redrives": views}):
        return
    columns = ("redrive", "queue", "status", "retried", "total", "canary", "rate", "started (UTC)", "reason")
    rows = [
        (
            view.redrive_id, view.queue, view.status, view.retried, view.total, view.canary, view.rate,
            when(view.started_at), view.reason,
        )
        for view in views
    ]  # fmt: skip
    empty = "no redrives: start one with `gopherctl retry-all --canary 10 --rate 5/s`"
    out.table(columns, rows, empty=empty, less_needed=("queue", "canary", "rate", "started (UTC)", "total"))
    out.corrupt((view.redrive_id, view.corrupt) for view in views)


@redrives.command("stop")
@click.argument("redrive_id", metavar="REDRIVE")
@common
def stop_redrive(out: Output, redrive_id: str) -> int:
    """Stop a redrive. Jobs that have been retried already are not affected."""
    with client() as gopher:
        stopped = gopher.dead_letters.stop_redrive(redrive_id)
    if not out.data({"redrive_id": redrive_id, "stopped": stopped}):
        out.line(f"{redrive_id} is stopped" if stopped else f"{redrive_id} had already ended")
    return 0 if stopped else 1


# The old name, supported for one release with its JSON output unchanged.


class _OldOutput(Output):
    """Answers with the old names."""

    def data(self, value: Any) -> bool:
        return super().data(_with_old_names(msgspec.to_builtins(value)))


def _with_old_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {_OLD.get(name, name): _with_old_names(each) for name, each in value.items()}
    return [_with_old_names(each) for each in value] if isinstance(value, list) else value


_OLD = {"redrives": "retries", "redrive_id": "retry_id"}


def _renamed(command: click.Command) -> dict[str, Any]:
    """Return a decorator that makes a deprecated command from a new one."""
    run: Callable[..., Any] = command.callback or (lambda **arguments: None)

    def callback(out: Output, **arguments: Any) -> Any:
        if click.get_current_context().invoked_subcommand is None:
            click.echo("Warning: `gopherctl retries` is deprecated: use `gopherctl redrives`", err=True)
        return run(out=_OldOutput(out.as_json), **arguments)

    return {"name": command.name, "params": command.params, "help": command.help, "callback": callback}


retries = click.Group(
    commands={name: click.Command(**_renamed(each)) for name, each in redrives.commands.items()},
    invoke_without_command=True,
    hidden=True,
    **_renamed(redrives),
)
