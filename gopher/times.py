"""Times: Unix milliseconds inside, RFC 3339 in UTC with `Z` outside."""

from datetime import UTC, datetime
from functools import lru_cache


def to_rfc3339(milliseconds: float) -> str:
    """Return `2026-11-24T08:00:00.000Z` for Unix milliseconds."""
    seconds, rest = divmod(int(milliseconds), 1000)
    return f"{_to_the_second(seconds)}.{rest:03}Z"


@lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def from_rfc3339(text: str) -> int:
    """Return the Unix milliseconds of an RFC 3339 time. Raises ValueError without an offset."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None or len(text) < len("2026-11-24T08:00Z"):
        raise ValueError("expected an RFC 3339 time with an offset, such as 2026-11-24T08:00:00Z")
    return round(value.timestamp() * 1000)
