"""JSON that all readers read alike: what others would take for something else is refused, with its place.

RFC 8259 leaves open what becomes of a name that an object has twice; readers take the first, the last, or both.
"""

import json
import re
from typing import Any

import msgspec

from gopher.errors import InvalidJson

#: Nesting of arrays and objects.
MAX_DEPTH = 64

_SURROGATE = re.compile(rb"\\u[dD][89abAB]", re.ASCII)


def check_json(text: bytes, field: str, *, names: bool = True) -> Any:
    """Return the value of a JSON text, refusing what other readers would read differently.

    Raises InvalidJson for bad syntax, NaN, numbers out of range, lone surrogates, deep nesting, and with `names` for
    an object that has a name twice.
    """
    if _depth_exceeds(text, MAX_DEPTH):
        raise InvalidJson(f"is nested more than {MAX_DEPTH} levels deep", field)
    try:
        value = msgspec.json.decode(text)
        if b"\\u" in text and _SURROGATE.search(text):
            msgspec.json.encode(value)
        # What is written again as it stood there has lost no name: to compare is quicker than to look.
        if names and msgspec.json.encode(value) != text:
            check_names(text, field)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(str(error), field) from None
    return value


def are_checked(lines: bytes) -> bool:
    """Return whether each of many texts, a line each as msgspec writes them, is an object that passes `check_json`.

    That is so for sure; if it is not, some may pass nevertheless. Raises as `msgspec.json.decode` does.
    """
    values = msgspec.json.Decoder().decode_lines(lines)
    if not lines.startswith(b"{") or lines.count(b"\n{") != len(values) - 1:
        return False
    has_nested = b"[" in lines or lines.count(b"{") > len(values)
    if has_nested and any(_depth_exceeds(line, MAX_DEPTH) for line in lines.split(b"\n")):
        return False
    # A lone surrogate can't be written again either.
    return msgspec.json.Encoder().encode_lines(values) == lines


def check_names(text: bytes | msgspec.Raw, field: str = "") -> None:
    """Raise InvalidJson when an object of a JSON text has a name twice; `field` points to the text.

    The text has been read before, by msgspec: it is JSON.
    """
    try:
        whole = str(text, "utf-8").strip()
    except UnicodeDecodeError as error:
        # msgspec passes over the strings that it keeps as they are.
        raise InvalidJson(f"is not UTF-8: {error.reason} at byte {error.start}", field or None) from None
    try:
        _scan(whole)
        return
    except RecursionError:
        raise InvalidJson("is nested too deep", field or None) from None
    except ValueError:
        # A name is there twice, or int() refuses a number of thousands of digits. Slower, and tells which.
        place = _find(_PAIRS.decode(whole), field)
    if place is not None:
        raise InvalidJson("stands twice in its object: send it once", place)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError


# Not its `decode`, which would copy the text once more, only to look for what follows the value.
_scan = json.JSONDecoder(object_pairs_hook=_once).raw_decode
_PAIRS = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=len, parse_float=len)


def _find(value: Any, place: str) -> str | None:
    """Return the place of the first name, from within, that its object has twice."""
    if not isinstance(value, list):
        return None
    for name, each in value if isinstance(value, _Pairs) else enumerate(value):
        found = _find(each, f"{place}/{name}")
        if found is not None:
            return found
    seen: set[str] = set()
    for name, _ in value if isinstance(value, _Pairs) else ():
        if name in seen:
            return f"{place}/{name}"
        seen.add(name)
    return None


def _depth_exceeds(text: bytes, limit: int) -> bool:
    # Brackets inside strings count too here; only a text that has many is looked at closely.
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth, in_string, escaped = 0, False, False
    for byte in text:
        if in_string:
            escaped, in_string = byte == 0x5C and not escaped, byte != 0x22 or escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif byte in b"]}":
            depth -= 1
    return False
