"""`quiet`, `stop`, `stack`: tell workers what to do from afar, and look at what they are doing."""

from collections.abc import Callable
from typing import Any

import click

from gopher.interface import Gopher

from .common import client, common
from .output import Output, when


def _choosing(function: Callable[..., int]) -> Callable[..., int]:
    """Add the arguments that choose workers."""
    for decorate in (
        click.option("--all", "every", is_flag=True, help="All workers."),
        click.option("--queue", metavar="QUEUE", help="The workers that serve this queue."),
        click.option("--host", metavar="HOST", help="The workers on this host."),
        click.argument("worker", required=False, metavar="[WORKER]"),
    ):
        function = decorate(function)
    return function


def _tell(
    one: Callable[[Gopher, str], list[str]],
    several: Callable[..., list[str]],
    worker: str | None,
    every: bool,
    **which: Any,
) -> list[str]:
    """Tell the chosen workers; return their ids. Raises UsageError."""
    if (worker is not None) + every + any(which.values()) != 1:
        raise click.UsageError("give a WORKER, or --host and/or --queue, or --all; see `gopherctl workers`")
    with client() as gopher:
        return several(gopher, **which) if worker is None else one(gopher, worker)


def _say(out: Output, told: list[str], what: str) -> int:
    if not out.data({"workers": told}):
        for worker in told:
            out.line(f"{worker} {what}")
        if not told:
            out.note("no such workers; `gopherctl workers` lists them")
    return 0 if told else 1


@click.command()
@_choosing
@common
def quiet(out: Output, worker: str | None, host: str | None, queue: str | None, every: bool) -> int:
    """Let workers fetch no more jobs: one, those on a host, those that serve a queue, or all.

    They finish the jobs that they run, and stay until they are stopped.
    """
    told = _tell(
        lambda gopher, name: gopher.fleet.quiet(name),
        lambda gopher, **which: gopher.fleet.quiet_all(**which),
        worker, every, host=host, queue=queue,
    )  # fmt: skip
    return _say(out, told, "fetches no more jobs")


@click.command()
@_choosing
@common
def stop(out: Output, worker: str | None, host: str | None, queue: str | None, every: bool) -> int:
    """Let workers finish their jobs and exit: one, those on a host, those that serve a queue, or all.

    Jobs that take longer than WORKER_SHUTDOWN_TIMEOUT are requeued: to interrupt none, use `gopherctl quiet` and wait
    until `gopherctl workers` shows no jobs. Whatever has started a worker may start another one.
    """
    told = _tell(
        lambda gopher, name: gopher.fleet.stop(name),
        lambda gopher, **which: gopher.fleet.stop_all(**which),
        worker, every, host=host, queue=queue,
    )  # fmt: skip
    return _say(out, told, "finishes its jobs and exits")


@click.command()
@click.argument("job_id")
@common
def stack(out: Output, job_id: str) -> None:
    """Show where a running job is in its code, even within C code. It runs on."""
    with client() as gopher:
        found = gopher.fleet.stack(job_id)
    if not out.data(found):
        at = f" at {found.place}" if found.place else ""
        out.note(f"attempt {found.attempt}{at}, child {found.pid} of {found.worker}, {when(found.at)}")
        out.line(found.stack)
