"""Reading what may be corrupt: a record written by other software, an older version, or by hand.

A page never fails because of one row. Fields that can't be read are replaced by a substitute of the same type and
listed in the row's `corrupt`; the others are shown unchanged.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from gopher.errors import InvalidJob

from .times import to_rfc3339

T = TypeVar("T")
S = TypeVar("S")

#: What reading a corrupt value may raise. (UnicodeDecodeError is a ValueError.)
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    msgspec.MsgspecError,
    InvalidJob,
)
#: Substitute of a required time that can't be read.
NO_TIME = to_rfc3339(0)
#: Substitute of a required job id that can't be read.
NO_ID = "00000000-0000-0000-0000-000000000000"
#: Substitute of a required name or state that can't be read.
NO_NAME = "corrupt"

#: The largest integer that a score (a double) represents exactly.
_FURTHEST = 2.0**53
_ANY = msgspec.json.Decoder()


class Salvage:
    """Reads the fields of one row, and collects the names of those that can't be read."""

    def __init__(self) -> None:
        self.corrupt: list[str] = []

    def read(self, name: str, make: Callable[[], T], instead: S) -> T | S:
        """Return `make` applied to a field, or `instead` if it fails."""
        try:
            return make()
        except UNREADABLE:
            self.corrupt.append(name)
            return instead


def text(value: bytes) -> str:
    """Decode a name or an id from any bytes, so that it can be written as JSON."""
    return value.decode("utf-8", "replace")


def texts(values: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, str]:
    """Return a hash of the server as text; of a cluster redis-py hands on what EXEC answers as it came, a list."""
    pairs = values.items() if isinstance(values, Mapping) else zip(values[0::2], values[1::2], strict=True)
    return {text(name): text(value) for name, value in pairs}


def finite(value: bytes | str | float) -> float:
    """Return a number. Raises ValueError for NaN and infinity, which JSON does not support."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def whole(value: bytes | str | int) -> int:
    """Return an integer that every JSON reader supports. Raises ValueError."""
    number = int(value)
    if abs(number) > _FURTHEST:
        raise ValueError("the number is out of range")
    return number


def moment(value: bytes | str | float) -> int:
    """Return Unix milliseconds that can be shown. Raises ValueError."""
    milliseconds = int(finite(value))
    to_rfc3339(milliseconds)
    return milliseconds


def shown_time(value: bytes | str | float | None) -> str:
    """Return Unix milliseconds as RFC 3339, for a message."""
    return Salvage().read("time", lambda: to_rfc3339(moment(value or "")), "an unknown time")


def order(value: bytes | str | float | None, instead: int = 0) -> int:
    """Return an integer for sorting or summing rows, whether or not it can be shown as a time."""
    try:
        number = float(value or "")
        return instead if math.isnan(number) else int(max(-_FURTHEST, min(number, _FURTHEST)))
    except UNREADABLE:
        return instead


def raw_json(value: bytes) -> msgspec.Raw:
    """Return JSON that can be embedded in a response unchanged. Raises if it would make the response invalid."""
    _ANY.decode(value)
    return msgspec.Raw(value)


def json_object(value: bytes) -> Mapping[str, Any]:
    """Return a JSON object as a dict. Raises for any other value."""
    found = _ANY.decode(value)
    if not isinstance(found, dict):
        raise TypeError("expected an object")
    return found


def is_corrupt(reply: object) -> bool:
    """Return whether a reply is a WRONGTYPE error: one of our keys has another type."""
    # redis-py's ResponseError, not imported here, since handlers use this module, too.
    return isinstance(reply, Exception) and str(reply).startswith("WRONGTYPE")


def reply(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return the reply to one read, or its WRONGTYPE error."""
    try:
        return read(*arguments)
    except Exception as error:
        if is_corrupt(error):
            return error
        raise


def replies(pipe: Any) -> list[Any]:
    """Run a pipeline of reads; return its replies, with WRONGTYPE errors in place of replies."""
    found: list[Any] = pipe.execute(raise_on_error=False)
    for reply in found:
        if isinstance(reply, Exception) and not is_corrupt(reply):
            raise reply
    return found
