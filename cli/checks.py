"""`doctor`'s checks of the server: pure functions of one snapshot of its state."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gopher.base.durations import format_duration
from gopher.config.settings import Settings
from gopher.queue.preflight import OLDEST_SERVER, info_of, one_node, version_of
from gopher.queue.server_state import WRITES, NodeState, replica_dangers
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained

#: Allowed clock difference in seconds: delays and schedules are written by one clock and read by the other.
CLOCK_TOLERANCE = 1.0
#: Fraction of memory, and of connections, above which a warning is given.
NEARLY = 0.8
_MASTER = "master"


class Finding(msgspec.Struct):
    """A problem and its remedy."""

    message: str
    remedy: str


class Check(msgspec.Struct, omit_defaults=True):
    """A check: what was seen, the problems found, or why it was skipped."""

    name: str
    seen: str = ""
    findings: list[Finding] = []
    skipped: str = ""

    @property
    def verdict(self) -> str:
        return "finding" if self.findings else "skipped" if self.skipped else "ok"


@dataclass(frozen=True)
class ServerLook:
    """The server's state. `offset` is in seconds; `info` and `config` are empty where the server does not permit INFO
    and CONFIG."""

    info: dict[str, Any]
    config: dict[str, str]
    offset: float


def look_at(server: Server) -> ServerLook:
    """Query the server. Raises a ServerError."""
    info = one_node(info_of(server))
    with explained():
        before = time.time()
        now = now_at(server.client, server.keys.workers)
        middle = (before + time.time()) / 2
    return ServerLook(info, _config(server), now / 1000 - middle)


def _config(server: Server) -> dict[str, str]:
    from gopher.server.redis_py import exceptions

    try:
        found = server.client.config_get("maxmemory", "maxclients", "appendfsync", "save")
    except exceptions.ResponseError:
        # Managed servers often don't permit it.
        return {}
    return {name: str(value) for name, value in one_node(found).items()}


def server_checks(look: ServerLook, need: dict[str, int]) -> list[Check]:
    """Return the checks of the server itself; `need` is the number of connections of each kind of process."""
    return [_version(look), _eviction(look), _memory(look), _persistence(look), _clock(look), _connections(look, need)]


def _version(look: ServerLook) -> Check:
    info, findings = look.info, []
    version, role = str(info.get("redis_version", "")), info.get("role", _MASTER)
    if not version:
        oldest = ".".join(map(str, OLDEST_SERVER))
        return Check(
            "server", skipped=f"it does not report its version: make sure it is Redis {oldest} or later, or Valkey"
        )
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if version_of(version) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        findings.append(Finding(f"{name} is too old", f"Upgrade to Redis {oldest} or later, or Valkey."))
    if role != _MASTER:
        findings.append(Finding("it is a read-only replica", "Point REDIS_URL to the primary."))
    return Check("server", f"{name}, a {role}, up {format_duration(info.get('uptime_in_seconds', 0))}", findings)


def _eviction(look: ServerLook) -> Check:
    policy, evicted = look.info.get("maxmemory_policy"), int(look.info.get("evicted_keys", 0))
    findings = []
    if policy is None:
        return Check("eviction", skipped="the server does not report its maxmemory-policy: make sure it is noeviction")
    if policy != "noeviction":
        message = f"maxmemory-policy is {policy}: a full server would silently drop jobs, so no process starts"
        remedy = "CONFIG SET maxmemory-policy noeviction, and set it in the server's configuration file."
        findings.append(Finding(message, remedy))
    if evicted:
        message = f"{evicted:,} keys were evicted since it started: jobs may be lost"
        remedy = "See `orphans` below; then run CONFIG RESETSTAT."
        findings.append(Finding(message, remedy))
    return Check("eviction", f"maxmemory-policy {policy}", findings)


def _memory(look: ServerLook) -> Check:
    if "used_memory" not in look.info:
        return Check("memory", skipped="the server does not report it: watch it in your provider's dashboard")
    used, limit = int(look.info["used_memory"]), int(look.info.get("maxmemory", 0))
    total = int(look.info.get("total_system_memory", 0))
    of = limit or total
    what = f"maxmemory {_mib(limit)}" if limit else f"no maxmemory, the machine has {_mib(total)}"
    findings = []
    if of and used > NEARLY * of:
        full = "records of finished jobs are evicted early, then new jobs are rejected"
        end = full if limit else "the kernel may kill it"
        message = f"{used / of:.0%} of its memory is in use: when it is full, {end}"
        remedy = "Add memory, start more workers, shorten GOPHER_RESULT_TTL or GOPHER_DEAD_TTL, or purge queues."
        findings.append(Finding(message, remedy))
    return Check("memory", f"{_mib(used)} used, {what}{_allocator(look)}", findings)


def _allocator(look: ServerLook) -> str:
    """Return a note about the server's memory allocator if it is slow."""
    # Each change makes a record grow, and glibc's realloc rarely grows such small blocks in place.
    is_slow = look.info.get("mem_allocator") == "libc"
    return ", allocator libc: jobs cost 25 to 50 % more CPU than with jemalloc" if is_slow else ""


def _persistence(look: ServerLook) -> Check:
    info, fsync = look.info, look.config.get("appendfsync", "")
    if "aof_enabled" not in info:
        return Check("persistence", skipped="the server does not report it: make sure that appendonly is yes")
    aof = bool(info["aof_enabled"])
    saves = look.config.get("save", "")
    seen = f"AOF {'on' if aof else 'off'}{f', appendfsync {fsync}' if aof and fsync else ''}"
    return Check("persistence", seen + (f", snapshots {saves}" if saves else ""), list(_unsafe(info, aof, fsync)))


def _unsafe(info: dict[str, Any], aof: bool, fsync: str) -> Iterator[Finding]:
    if not aof:
        remedy = "CONFIG SET appendonly yes, and set it in the server's configuration file."
        yield Finding("the append-only file is off: a server crash loses accepted jobs", remedy)
    elif fsync == "no":
        remedy = "CONFIG SET appendfsync everysec."
        yield Finding("appendfsync is no: a power failure loses what the kernel has not written yet", remedy)
    for field, what in WRITES.items():
        if info.get(field, "ok") != "ok":
            remedy = "Free disk space on the server, and check its log."
            yield Finding(f"its last {what} failed: it may reject new jobs, and lose some in a crash", remedy)


def replicas_check(states: Mapping[str, NodeState], settings: Settings) -> Check:
    """Check that there are as many replicas as submissions require by default, and that they are not late."""
    counts = [state.replicas for state in states.values() if state.replicas is not None]
    if not counts:
        return Check("replicas", skipped="the server does not report them")
    lags = [state.lag for state in states.values() if state.lag is not None]
    seen = f"{min(counts)}{' or more on each node' if len(counts) > 1 else ''}"
    findings = [
        Finding(each.message, f"{each.remedy[0].upper()}{each.remedy[1:]}.")
        for state in states.values()
        for each in replica_dangers(state, settings)
    ]
    return Check("replicas", seen + (f", last confirmed {max(lags):g} s ago" if lags else ""), findings)


def _clock(look: ServerLook) -> Check:
    away = abs(look.offset)
    if away <= CLOCK_TOLERANCE:
        return Check("clock", f"{away * 1000:.0f} ms apart")
    which = "ahead of" if look.offset > 0 else "behind"
    message = f"the server's clock is {format_duration(away)} {which} this machine's: times are off by that much"
    return Check("clock", f"{away:.1f} s apart", [Finding(message, "Synchronize both clocks with NTP.")])


def _connections(look: ServerLook, need: dict[str, int]) -> Check:
    limit = int(look.info.get("maxclients") or look.config.get("maxclients") or 0)
    here, wanted = int(look.info.get("connected_clients", 0)), sum(need.values())
    parts = ", ".join(f"{what} {count}" for what, count in need.items() if count)
    needed = f"up to {wanted} needed ({parts})"
    seen = f"{here} open, {needed}"
    if not limit:
        return Check("connections", seen, skipped=f"the server does not report its maxclients: {needed}")
    findings = []
    if max(here, wanted) > NEARLY * limit:
        message = f"{max(here, wanted)} of {limit} connections: a rolling deploy needs more and would fail"
        remedy = "Raise maxclients (or the plan), or run fewer API processes (WEB_CONCURRENCY) or workers."
        findings.append(Finding(message, remedy))
    return Check("connections", f"{seen}, maxclients {limit}", findings)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
