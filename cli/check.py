"""`check`: what is wrong in the modules of handlers, before they are deployed."""

import click

from gopher.config.settings import Settings
from gopher.jobs.loading import find_mistakes
from gopher.jobs.registry import registry

from .output import Output

_FAILED = 1


@click.command()
@click.argument("modules", nargs=-1)
@click.option(
    "--json",
    "out",
    is_flag=True,
    callback=lambda context, parameter, value: Output(value),
    help="Print JSON to stdout; messages go to stderr.",
)
def check(out: Output, modules: tuple[str, ...]) -> int:
    """Import MODULES (default: GOPHER_HANDLERS) and list all mistakes in their handlers. Exits 1 if there are any.

    Needs no server: run it in a build or before a deploy. Worker, API and scheduler refuse to start with such mistakes.
    """
    mistakes = sorted(find_mistakes(modules or Settings.from_env().handlers), key=lambda each: (each.file, each.line))
    if not out.data({"mistakes": mistakes, "handlers": len(registry)}):
        for each in mistakes:
            place = f"{each.file}:{each.line}: " if each.file else ""
            out.line(f"{place}{f'{each.handler}: ' if each.handler else ''}{each.message}")
        out.note(f"{_counted(len(registry), 'handler')}, {_counted(len(mistakes), 'mistake')}")
    return _FAILED if mistakes else 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
