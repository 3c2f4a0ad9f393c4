"""For how long a running job was frozen: what its record says (see `note_frozen`)."""

from typing import NamedTuple

from gopher.base.salvage import finite, moment


class Frozen(NamedTuple):
    """Milliseconds for which an attempt was frozen before, and since when it is now (Unix ms), None if it is not."""

    before: float
    since: int | None

    def until(self, now: float) -> float:
        """Return for how many milliseconds it has been frozen in all."""
        return self.before + (0.0 if self.since is None else max(now - self.since, 0.0))


def read_frozen(noted: str, token: str) -> Frozen | None:
    """Return what is noted of the attempt with a token; None if that was never frozen. Raises ValueError."""
    head, _, rest = noted.partition(" ")
    if not head or head != token:
        return None
    before, _, since = rest.partition(" ")
    return Frozen(finite(before), moment(since) if since else None)
