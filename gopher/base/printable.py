"""Control characters, which must not be printed."""

import re

#: C0 with line ends and tab, DEL, C1; line and paragraph separator; what overrides or isolates the direction of text.
#: They move a terminal's cursor or drive it, make one line look like two, or show another text than there is.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str, keep: str = "") -> str:
    r"""Escape control characters, such as `\x1b` or `\u202e`, except those in `keep`."""
    return CONTROL.sub(lambda found: found[0] if found[0] in keep else _written_out(found[0]), text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()
