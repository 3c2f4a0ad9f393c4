"""Suggests a name in place of a misspelt one, for the end of an error message."""

from collections.abc import Iterable

#: Characters that are compared: no name is longer, and a client may send anything.
_LONGEST = 200


def did_you_mean(name: str, known: Iterable[str], most: int = 1, *, alike: float = 0.6) -> str:
    """Return `did you mean 'email'?` for up to `most` names that are much like a misspelt one, "" if there is none."""
    # Only for the message of an error: not worth its import otherwise.
    from difflib import get_close_matches

    near = get_close_matches(name[:_LONGEST], list(known), most, alike)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
