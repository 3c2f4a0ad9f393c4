"""The last section of docs/cli.md: every command with every option, written from the commands themselves."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
from gopher.cli.main import COMMANDS, cli

PAGE = Path(__file__).parents[2] / "docs/cli.md"
HEAD = "## Every option\n"

#: Every command has them.
_COMMON = ("--json", "--redis-url", "--help")


def with_reference(page: str) -> str:
    """Return the page with its last section as the commands are now."""
    return page.partition(HEAD)[0].rstrip() + "\n\n" + reference()


def reference() -> str:
    """Return the section."""
    context = click.Context(cli, info_name="gopherctl")
    parts = [part for name in COMMANDS for part in _described(context, name, cli.get_command(context, name))]
    return "\n".join(
        [HEAD, "Every command also has `--json`, `--help` and, if it uses the server, `--redis-url`.\n", *parts]
    )


def _described(parent: click.Context, name: str, command: click.Command | None) -> Iterator[str]:
    assert command is not None, name
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"### {context.command_path}\n"
    yield f"`{usage}`: {_first_sentence(command)}\n"
    options = [record for parameter in command.get_params(context) if (record := _option(context, parameter))]
    if options:
        yield "\n".join(["| option | |", "|---|---|", *(f"| {names} | {text} |" for names, text in options), ""])
    for each, inner in getattr(command, "commands", {}).items():
        yield from _described(context, each, inner)


def _option(context: click.Context, parameter: click.Parameter) -> tuple[str, str] | None:
    record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
    if record is None or any(option in _COMMON for option in parameter.opts):
        return None
    names, text = record
    assert text, f"{context.command_path} {names} has no help"
    return f"`{names}`".replace("|", "\\|"), " ".join(text.split()).replace("|", "\\|")


def _first_sentence(command: click.Command) -> str:
    text = " ".join((command.help or "").partition("\b")[0].split())
    return re.split(r"(?<=[.!])\s", text)[0]
