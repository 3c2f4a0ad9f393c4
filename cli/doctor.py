"""`doctor`: checks server, processes and jobs, and suggests fixes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import click

from gopher.base.durability import STORED, strongest
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, ServerError
from gopher.reads.health import check_writable

from .admission_check import admission_check
from .checks import Check, Finding, look_at, replicas_check, server_checks
from .common import client, common, over_http, server_client
from .fleet_checks import (
    SCHEDULER_MISSING,
    acknowledge_losses,
    connections_needed,
    data_check,
    orphan_check,
    running_check,
    scheduler_check,
    webhooks_check,
    worker_checks,
)
from .output import Output, printable
from .release_check import release_check
from .schedule_check import schedule_check
from .store_check import store_check
from .timeout_check import timeout_check

#: Maximum number of findings shown per check; --json has all.
_TOLD = 20
_COLOURS = {"ok": "green", "finding": "red", "skipped": "yellow"}


@click.command()
@click.option("--deep", is_flag=True, help="Also read every job of large queues, to find orphans.")
@click.option("--acknowledge", is_flag=True, help="Dismiss warnings about lost data and evicted records.")
@common
def doctor(out: Output, deep: bool, acknowledge: bool) -> int:
    """Check server, processes and jobs, and suggest fixes. Exits 1 if it finds problems.

    Checks the server's version, writability, eviction policy, memory, persistence, clock and connections; whether a
    scheduler is running and on time; whether there is a worker for each type with waiting jobs; whether all
    processes run the same build; whether jobs mostly end by their timeout; and whether there are orphaned jobs.
    Over HTTP, the checks of the server and --deep are skipped.
    """
    if acknowledge:
        if over_http():
            raise click.UsageError("--acknowledge needs the server itself: run it where REDIS_URL reaches the server.")
        with server_client() as gopher:
            acknowledge_losses(gopher)
    checks = []
    for check in _checks(deep):
        checks.append(check)
        if not out.as_json:
            _show(out, check)
    findings = sum(len(check.findings) for check in checks)
    if not out.data({"findings": findings, "checks": [_described(check) for check in checks]}):
        out.note(f"{findings or 'no'} finding{'' if findings == 1 else 's'}")
    return 1 if findings else 0


def _checks(deep: bool) -> Iterator[Check]:
    """Run the checks one by one, each after the previous one is shown."""
    if over_http():
        yield from _checks_over_http()
        return
    with server_client() as gopher:
        # Raises if the server is unreachable: then there is nothing to check.
        look = look_at(gopher.server)
        yield from server_checks(look, connections_needed(gopher, Settings.from_env()))
        yield from tried("replicas", partial(_replicas, gopher))
        yield _writes(gopher)
        for name, check in (
            ("data", data_check),
            ("scheduler", scheduler_check),
            ("schedules", schedule_check),
            ("workers", worker_checks),
            ("releases", release_check),
            ("running", running_check),
            ("webhooks", webhooks_check),
            ("timeouts", timeout_check),
            ("admission", admission_check),
            ("files", store_check),
            ("orphans", partial(orphan_check, deep=deep)),
        ):
            yield from tried(name, partial(check, gopher))


def tried(name: str, check: Callable[[], Check | list[Check]]) -> list[Check]:
    """Run a check; if the server rejects a call meanwhile, that is a finding, and doctor continues."""
    try:
        found = check()
    except ServerError as error:
        return [Check(name, findings=[Finding(f"it could not be checked: {error}", "Run this again.")])]
    return found if isinstance(found, list) else [found]


def _replicas(gopher: Client) -> Check:
    asked = strongest(gopher.settings.durability, *(key.durability or STORED for key in gopher.keys.all()))
    return replicas_check(gopher.server.watch.states(), replace(gopher.settings, durability=asked))


def _writes(gopher: Client) -> Check:
    try:
        latency = check_writable(gopher.server)
    except (ServerError, ConfigurationError) as error:
        return Check("writes", "rejected", [Finding(str(error), "New jobs are rejected until this is fixed.")])
    return Check("writes", f"accepted after {latency * 1000:.1f} ms")


def _checks_over_http() -> Iterator[Check]:
    """Run the checks that are possible over the API, which does not expose the server's settings."""
    with client() as gopher:
        health = gopher.health()
        yield Check("server", skipped="not available over HTTP: run this where REDIS_URL reaches the server")
        yield Check("writes", f"accepted after {health.redis.latency_ms:.1f} ms" if health.redis else "accepted")
        yield Check(
            "scheduler", health.scheduler or "not told", [SCHEDULER_MISSING] if health.scheduler == "missing" else []
        )
        yield from worker_checks(gopher)
        yield release_check(gopher)
        yield admission_check(gopher)


def _described(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "verdict": check.verdict,
        "seen": check.seen,
        "skipped": check.skipped,
        "findings": check.findings,
    }


def _show(out: Output, check: Check) -> None:
    verdict = click.style(check.verdict.ljust(7), fg=_COLOURS[check.verdict])
    click.echo(f"{verdict}  {check.name.ljust(11)}  {printable(check.skipped or check.seen)}")
    for finding in check.findings[:_TOLD]:
        out.line(f"{'':22}{finding.message}")
        out.line(f"{'':22}-> {finding.remedy}")
    if len(check.findings) > _TOLD:
        out.line(f"{'':22}and {len(check.findings) - _TOLD:,} more: --json has them")
