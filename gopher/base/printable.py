"""Control characters, which must not be printed."""

import re

#: C0 with line ends and tab, DEL, C1; line and paragraph separator; what overrides or isolates the direction of text.
#: They move a terminal's cursor or drive it, make one line look like two, or show another text than there is.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: These, and the marks of a direction: harmless in a sentence, misleading in a name that is shown to people.
_SHOWN_ESCAPED = re.compile(CONTROL.pattern[:-1] + r"\u061c\u200e\u200f]")
#: What JSON escapes itself, in texts; the rest of it has only line ends and tabs.
_NOT_IN_JSON = re.compile(_SHOWN_ESCAPED.pattern.replace(r"\x00-\x1f", "", 1))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def printable(text: str, keep: str = "") -> str:
    r"""Escape control characters, such as `\x1b` or `\u202e`, except those in `keep`."""
    return _SHOWN_ESCAPED.sub(lambda found: found[0] if found[0] in keep else _written_out(found[0]), text)


def printable_json(text: str) -> str:
    r"""Escape control characters in JSON, as `\u009b`: it means the same."""
    return _NOT_IN_JSON.sub(lambda found: _as_json(found[0]), text)


def ascii_json(text: str) -> str:
    """Escape all but ASCII in JSON, for terminals without Unicode."""
    return _NOT_ASCII.sub(lambda found: _as_json(found[0]), text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
