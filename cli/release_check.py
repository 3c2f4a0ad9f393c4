"""`doctor`'s check of the releases of Gopher that run."""

from collections.abc import Iterable

from gopher.admin.withdrawals import Withdrawals
from gopher.base.salvage import order
from gopher.client import Client
from gopher.interface import Gopher
from gopher.queue.releases import PROTOCOL, Release, shown_releases
from gopher.server.errors import explained

from .checks import Check, Finding

_REMEDY = (
    "Finish the deploy: restart the old ones (workers with SIGTERM, which lets running jobs finish). "
    "See 'Upgrades' in docs/deployment.md."
)


def release_check(gopher: Gopher) -> Check:
    """Check that all processes run the same build. Over HTTP only the workers are known."""
    found: dict[Release, set[str]] = {}
    for worker in gopher.workers():
        found.setdefault(Release(worker.version, worker.build), set()).add(worker.id)
    protocol = ""
    if isinstance(gopher, Client):
        for part, release in _others(gopher):
            found.setdefault(release, set()).add(part)
        protocol = f", protocol {_protocol(gopher)}"
    seen = ", ".join(str(release) for release in sorted(found)) or "no processes"
    findings = []
    if len(found) > 1:
        each = "; ".join(f"{release}: {_listed(names)}" for release, names in sorted(found.items()))
        findings.append(Finding(f"processes run several versions of Gopher: {each}", _REMEDY))
    return Check("releases", f"{seen}{protocol}", findings)


def _others(gopher: Client) -> Iterable[tuple[str, Release]]:
    """Yield the parts that are not workers, each with a release."""
    server = gopher.server
    with explained():
        yield from shown_releases(server.client, server.keys, gopher.inspector.now())
        schedulers = {
            scheduler.decode(errors="replace") for scheduler in server.client.zrange(server.keys.schedulers, 0, -1)
        }
    for scheduler in Withdrawals(server, 0.0).silent() & schedulers:
        yield f"scheduler {scheduler}", Release()


def _protocol(gopher: Client) -> int:
    with explained():
        stored = gopher.server.client.hget(gopher.server.keys.meta, "protocol")
    return int(order(stored, 1)) if stored else PROTOCOL


def _listed(names: set[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(sorted(names)[:shown]) + more
