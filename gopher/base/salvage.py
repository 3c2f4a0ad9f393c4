"""Reading what may be corrupt: a record written by other software, an older version, or by hand.

A page never fails for one row. What can't be read of a row is replaced by something of the same type and named in the
row's `corrupt`; the rest is shown as it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from gopher.errors import InvalidJob

from .times import to_rfc3339

T = TypeVar("T")
S = TypeVar("S")

#: What reading a value may raise that is not as we write it. (UnicodeDecodeError is a ValueError.)
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
#: Shown where there has to be a time, and none can be read.
NO_TIME = to_rfc3339(0)
#: Shown where there has to be the id of a job, and none can be read.
NO_ID = "00000000-0000-0000-0000-000000000000"
#: Shown where there has to be a name of ours or a state, and none can be read.
NO_NAME = "corrupt"

#: The furthest whole number that a score of the server holds to the digit.
_FURTHEST = 2.0**53
_ANY = msgspec.json.Decoder()


class Salvage:
    """Reads the fields of one row, and notes those that can't be read."""

    def __init__(self) -> None:
        self.corrupt: list[str] = []

    def read(self, name: str, make: Callable[[], T], instead: S) -> T | S:
        """Return what `make` makes of a field, or `instead` where it can't."""
        try:
            return make()
        except UNREADABLE:
            self.corrupt.append(name)
            return instead


def text(value: bytes) -> str:
    """Return a name or an id, whatever bytes stand there: it can be written as JSON."""
    return value.decode("utf-8", "replace")


def texts(values: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, str]:
    """Return a hash of the server as text; of a cluster redis-py hands on what EXEC answers as it came, a list."""
    pairs = values.items() if isinstance(values, Mapping) else zip(values[0::2], values[1::2], strict=True)
    return {text(name): text(value) for name, value in pairs}


def finite(value: bytes | str | float) -> float:
    """Return a number. Raises ValueError for NaN and infinity, which JSON has not."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no finite number")
    return number


def whole(value: bytes | str | int) -> int:
    """Return a whole number that every reader of JSON takes. Raises ValueError."""
    number = int(value)
    if abs(number) > _FURTHEST:
        raise ValueError("the number is out of range")
    return number


def moment(value: bytes | str | float) -> int:
    """Return Unix milliseconds that can be shown. Raises ValueError."""
    milliseconds = int(finite(value))
    to_rfc3339(milliseconds)
    return milliseconds


def order(value: bytes | str | float | None, instead: int = 0) -> int:
    """Return a whole number by which rows are ordered or added up, whether or not it can be shown as a time."""
    try:
        number = float(value or "")
        return instead if math.isnan(number) else int(max(-_FURTHEST, min(number, _FURTHEST)))
    except UNREADABLE:
        return instead


def raw_json(value: bytes) -> msgspec.Raw:
    """Return JSON that can be put into an answer as it stands. Raises for what would make all of that unreadable."""
    _ANY.decode(value)
    return msgspec.Raw(value)


def json_object(value: bytes) -> Mapping[str, Any]:
    """Return a JSON object as a dict. Raises for any other value."""
    found = _ANY.decode(value)
    if not isinstance(found, dict):
        raise TypeError("expected an object")
    return found


def is_corrupt(reply: object) -> bool:
    """Return whether a reply says that something else stands at a key of ours: a list where a hash should be."""
    # redis-py's ResponseError, which is not loaded for this: handlers read the shapes of figures too.
    return isinstance(reply, Exception) and str(reply).startswith("WRONGTYPE")


def reply(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return the reply to one read, or its error where something else stands at the key."""
    try:
        return read(*arguments)
    except Exception as error:
        if is_corrupt(error):
            return error
        raise


def replies(pipe: Any) -> list[Any]:
    """Run a pipeline of reads; return its replies, among them the error of each key that holds something else."""
    found: list[Any] = pipe.execute(raise_on_error=False)
    for reply in found:
        if isinstance(reply, Exception) and not is_corrupt(reply):
            raise reply
    return found
