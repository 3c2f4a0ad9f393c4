"""For how much memory a job waits in its worker, or has waited, by its record: `<token> <bytes> <since> [<until>]`."""

from typing import NamedTuple

from gopher.base.salvage import moment, text, whole


class Wait(NamedTuple):
    """Bytes, and times in ms; `until` is None while the job waits."""

    needs: int
    since: float
    until: float | None


def wait_for_memory(field: bytes | None, token: bytes | None) -> Wait | None:
    """Return the wait of the attempt with this token, None if it has not waited. Raises ValueError."""
    of_attempt, _, rest = text(field or b"").partition(" ")
    if not rest or of_attempt != text(token or b""):
        return None
    needs, since, *until = rest.split()
    return Wait(whole(needs), moment(since), moment(until[0]) if until else None)
