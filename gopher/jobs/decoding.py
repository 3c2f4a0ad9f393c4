"""Converts msgspec's errors: the field as a JSON pointer, and how to fix it."""

import re
from typing import TypeVar

import msgspec

from gopher.errors import InvalidJob, InvalidJson

from .strict_json import check_names

T = TypeVar("T")

_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)


def explain(error: msgspec.ValidationError, base: str = "") -> InvalidJob:
    """Return the InvalidJob for a value that does not fit its type; `base` points to the value."""
    details, _, path = str(error).partition(" - at `$")
    field = base + path.rstrip("`").replace("[", "/").replace("]", "").replace(".", "/")
    if named := _NAMED.match(details):
        missing = named[1].startswith("missing")
        return InvalidJob("is required" if missing else "is not a known field: remove it", f"{field}/{named[2]}")
    return InvalidJob(f"{details[0].lower()}{details[1:]}", field or None)


def decode(decoder: msgspec.json.Decoder[T], text: bytes | msgspec.Raw, *, names: bool = True) -> T:
    """Decode JSON to the decoder's type. Raises InvalidJob, naming the field; InvalidJson for invalid JSON.

    With `names`, duplicate keys in objects are rejected.
    """
    try:
        value = decoder.decode(text)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from None
    if names:
        check_names(text)
    return value
