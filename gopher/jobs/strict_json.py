"""Strict JSON: rejects what other parsers would interpret differently, with its location.

RFC 8259 does not define the meaning of duplicate keys; parsers use the first, the last, or both.
"""

import json
import math
import re
from typing import Any

import msgspec

from gopher.base.patterns import regex
from gopher.errors import InvalidJson

from .conversion import builtins

#: Maximum nesting of arrays and objects.
MAX_DEPTH = 64

_SURROGATE = regex(rb"\\u[dD][89abAB]", re.ASCII)


def check_json(text: bytes, field: str, *, names: bool = True) -> Any:
    """Parse JSON, rejecting what other parsers would interpret differently.

    Raises InvalidJson for invalid syntax, NaN, numbers out of range, lone surrogates, deep nesting, and with `names`
    for duplicate keys.
    """
    if _depth_exceeds(text, MAX_DEPTH):
        raise InvalidJson(f"is nested more than {MAX_DEPTH} levels deep", field)
    try:
        value = msgspec.json.decode(text)
        if b"\\u" in text and _SURROGATE.search(text):
            msgspec.json.encode(value)
        # If re-encoding gives the same text, no duplicate key was dropped: comparing is faster than searching.
        if names and msgspec.json.encode(value) != text:
            check_names(text, field)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(str(error), field) from None
    return value


def are_checked(lines: bytes) -> bool:
    """Return whether all texts, one per line as encoded by msgspec, are objects that pass `check_json`.

    True is certain; with False, some may pass nevertheless. Raises as `msgspec.json.decode` does.
    """
    values = msgspec.json.Decoder().decode_lines(lines)
    if not lines.startswith(b"{") or lines.count(b"\n{") != len(values) - 1:
        return False
    has_nested = b"[" in lines or lines.count(b"{") > len(values)
    if has_nested and any(_depth_exceeds(line, MAX_DEPTH) for line in lines.split(b"\n")):
        return False
    # A lone surrogate can't be encoded, either.
    return msgspec.json.Encoder().encode_lines(values) == lines


def check_finite(value: Any, text: bytes, field: str) -> None:
    """Raise InvalidJson for NaN or infinity in a Python value, which msgspec writes as null. `text` is its JSON.

    A `Raw` is JSON already, and has neither.
    """
    if b"null" in text and not isinstance(value, msgspec.Raw) and (place := _not_finite(builtins(value), field)):
        raise InvalidJson("is NaN or infinite, which JSON does not support", place)


def _not_finite(value: Any, place: str) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next((found for name, each in parts if (found := _not_finite(each, f"{place}/{name}"))), None)


def check_names(text: bytes | msgspec.Raw, field: str = "") -> None:
    """Raise InvalidJson for duplicate keys in a JSON text; `field` points to the text.

    The text has already been parsed by msgspec, so it is valid JSON.
    """
    try:
        whole = str(text, "utf-8").strip()
    except UnicodeDecodeError as error:
        # msgspec does not check strings that it keeps unchanged.
        raise InvalidJson(f"is not UTF-8: {error.reason} at byte {error.start}", field or None) from None
    try:
        _scan(whole)
        return
    except RecursionError:
        raise InvalidJson("is nested too deeply", field or None) from None
    except ValueError:
        # A duplicate key, or int() rejects a number of thousands of digits. Slower, to find out which.
        place = _find(_PAIRS.decode(whole), field)
    if place is not None:
        raise InvalidJson("is a duplicate key: send it once", place)


class _Pairs(list[tuple[str, Any]]):
    """An object as its list of pairs."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError


# Not its `decode`, which would copy the text once more, only to look for what follows the value.
_scan = json.JSONDecoder(object_pairs_hook=_once).raw_decode
_PAIRS = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=len, parse_float=len)


def _find(value: Any, place: str) -> str | None:
    """Return the path of the first duplicate key, innermost first."""
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
    # Brackets inside strings count here, too; only a text with many brackets is checked closely.
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
