"""`doctor`: whether server, processes and jobs are as they should be, with the remedy where they are not."""

from collections.abc import Iterator

import click

from gopher.errors import ConfigurationError, ServerError
from gopher.health import check_writable
from gopher.settings import Settings

from .checks import Check, Finding, look_at, server_checks
from .common import common, server_client
from .fleet_checks import connections_needed, orphan_check, scheduler_check, worker_checks
from .output import Output, printable

#: Findings of one check that are told; --json has all.
_TOLD = 20
_COLOURS = {"ok": "green", "finding": "red", "skipped": "yellow"}


@click.command()
@click.option("--deep", is_flag=True, help="Read every job also of large queues, to see that each has its place.")
@common
def doctor(out: Output, deep: bool) -> int:
    """Examine server, processes and jobs. Exits 1 on a finding; each comes with its remedy.

    Looks at the server's version, writes, eviction, memory, persistence, clock and connections; whether a scheduler is
    alive and on time; whether each type with waiting jobs has a worker; and whether a job stands where nobody looks.
    """
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
    """Make the checks one after the other, each when the one before is shown."""
    settings = Settings.from_env()
    with server_client() as gopher:
        # Raises when the server is not there at all: then there is nothing to examine.
        look = look_at(gopher.server)
        yield from server_checks(look, connections_needed(gopher, settings))
        try:
            latency = check_writable(gopher)
            yield Check("writes", f"accepted after {latency * 1000:.1f} ms")
        except (ServerError, ConfigurationError) as error:
            yield Check("writes", "refused", [Finding(str(error), "New jobs are refused until that is mended.")])
        yield scheduler_check(gopher)
        yield from worker_checks(gopher)
        yield orphan_check(gopher, deep=deep)


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
