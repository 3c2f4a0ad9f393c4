"""Encodes a handler's return value as JSON, exactly, or with a clear error."""

import json
import math
from collections.abc import Callable
from typing import Any

from gopher.errors import InvalidJson
from gopher.files.large_results import attached_result
from gopher.jobs.conversion import builtins
from gopher.jobs.result_type import ResultType
from gopher.jobs.strict_json import MAX_DEPTH, check_json

#: Maximum bytes of JSON.
MAX_RESULT = 64 * 1024

_OPTIONS: dict[str, Any] = {"allow_nan": False, "ensure_ascii": False, "separators": (",", ":")}
_encode = json.JSONEncoder(**_OPTIONS).encode
#: For results whose type is declared: dataclasses, msgspec Structs, times and so on are what their schema says.
_encode_typed = json.JSONEncoder(**_OPTIONS, default=builtins).encode


class BadResult(Exception):
    """Raised when a result can't be stored; the message has the path in it."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def encode_result(
    value: Any, expected: ResultType | None = None, attach: Callable[[bytes, str], str] | None = None
) -> bytes:
    """Return a result as JSON, b"" for None. Raises BadResult, also unless it is of the expected type.

    With `attach`, one that is too large for the record is stored as a file, and a reference to it is returned.
    """
    if value is None and (expected is None or expected.may_be_none):
        return b""
    try:
        text = (_encode if expected is None else _encode_typed)(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        where = find_bad(value) or f"result ({error})"
        raise BadResult("ResultNotJson", f"the handler returned a value that JSON does not support: {where}") from None
    is_large = len(text) > MAX_RESULT
    if is_large and attach is None:
        raise BadResult(
            "ResultTooLarge",
            f"the result is {len(text)} bytes of JSON: the maximum is {MAX_RESULT}, unless the handler has "
            "attach_result=True",
        )
    try:
        # Like a payload: it is shown, and passed on to other jobs, as it is.
        check_json(text, "result")
    except InvalidJson as error:
        where = (find_bad(value) if expected is None else None) or f"{error.field} {error.details.partition(':')[0]}"
        raise BadResult("ResultNotJson", f"the handler returned a value that JSON does not support: {where}") from None
    if expected is not None and (wrong := expected.wrong(text)):
        raise BadResult("WrongResult", f"the handler returned a value that is not of its annotated type: {wrong}")
    return attached_result(text, attach) if is_large and attach else text


def find_bad(value: Any, path: str = "result", depth: int = 0) -> str | None:
    """Return the first unsupported part of a value, such as `result.sizes[3] is a set`."""
    if depth > MAX_DEPTH:
        return f"{path:.40}... is nested too deeply, or contains itself"
    if isinstance(value, dict):
        parts = [(key, f"{path}.{key!s:.40}", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [("", f"{path}[{at}]", item) for at, item in enumerate(value)]
    else:
        return _bad_scalar(value, path)
    names: dict[str, Any] = {}
    for key, place, item in parts:
        if not isinstance(key, _KEYS):
            return f"{path} has a key that is a {type(key).__name__}"
        if isinstance(value, dict) and (other := names.setdefault(_name(key), key)) is not key:
            return f"{path} has the keys {other!r} and {key!r}, which are the same in JSON"
        if bad := find_bad(item, place, depth + 1):
            return bad
    return None


_KEYS = (str, int, float, bool, type(None))


def _name(key: Any) -> str:
    """Return a key of a dict as JSON writes it: None is `null`."""
    return key if isinstance(key, str) else str(json.dumps(key))


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
