"""The kinds of settings that only webhooks have."""

from ipaddress import ip_network

from gopher.base.names import QUEUE_NAME

from .kinds import Kind, duration, listing, matching, read_host_port


def _read_destination(text: str) -> str:
    """Read a network, or host:port."""
    return str(ip_network(text)) if "/" in text else read_host_port(text)


def _read_durations(text: str) -> tuple[float, ...]:
    """Read durations, which may be the same: at least one."""
    return tuple(duration(above=0).read(part.strip()) for part in text.split(","))


DESTINATIONS = listing("networks such as 10.0.0.0/8, or host:port pairs", _read_destination)
DURATIONS = Kind("durations such as 10s,1m,1h, comma-separated", _read_durations)
QUEUE = Kind(f"a queue name ({QUEUE_NAME.pattern})", matching(QUEUE_NAME))
