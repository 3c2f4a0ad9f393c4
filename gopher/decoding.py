"""msgspec's errors in our words: which field (a JSON pointer), and what to do about it."""

import re

import msgspec

from .errors import InvalidJob

_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)


def explain(error: msgspec.ValidationError, base: str = "") -> InvalidJob:
    """Return the InvalidJob for a value that does not fit its type; `base` points to the value."""
    details, _, path = str(error).partition(" - at `$")
    field = base + path.rstrip("`").replace("[", "/").replace("]", "").replace(".", "/")
    if named := _NAMED.match(details):
        missing = named[1].startswith("missing")
        return InvalidJob("is required" if missing else "is not a known field: leave it out", f"{field}/{named[2]}")
    return InvalidJob(f"{details[0].lower()}{details[1:]}", field or None)
