"""Encodes a handler's return value as JSON, exactly, or with a clear error."""

import json
import math
from typing import Any

#: Maximum bytes of JSON.
MAX_RESULT = 64 * 1024
_MAX_DEPTH = 64

_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


class BadResult(Exception):
    """Raised when a result can't be stored; the message has the path in it."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def encode_result(value: Any) -> bytes:
    """Return a result as JSON, b"" for None. Raises BadResult."""
    if value is None:
        return b""
    try:
        text = _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        where = find_bad(value) or f"result ({error})"
        raise BadResult("ResultNotJson", f"the handler returned a value that JSON does not support: {where}") from None
    if len(text) > MAX_RESULT:
        raise BadResult("ResultTooLarge", f"the result is {len(text)} bytes of JSON: the maximum is {MAX_RESULT}")
    return text


def find_bad(value: Any, path: str = "result", depth: int = 0) -> str | None:
    """Return the first unsupported part of a value, such as `result.sizes[3] is a set`."""
    if depth > _MAX_DEPTH:
        return f"{path:.40}... is nested too deeply, or contains itself"
    if isinstance(value, dict):
        parts = [(key, f"{path}.{key!s:.40}", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [("", f"{path}[{at}]", item) for at, item in enumerate(value)]
    else:
        return _bad_scalar(value, path)
    for key, place, item in parts:
        if not isinstance(key, _KEYS):
            return f"{path} has a key that is a {type(key).__name__}"
        if bad := find_bad(item, place, depth + 1):
            return bad
    return None


_KEYS = (str, int, float, bool, type(None))


def _bad_scalar(value: Any, path: str) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} is {value}"
    if isinstance(value, str) and not _encodable(value):
        return f"{path} has a lone surrogate"
    return None if isinstance(value, _KEYS) else f"{path} is a {type(value).__name__}"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
