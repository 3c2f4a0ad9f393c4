"""Converts msgspec's errors: the field as a JSON pointer, and how to fix it."""

import re
from typing import Any, TypeVar

import msgspec

from gopher.base.near import did_you_mean
from gopher.base.patterns import regex
from gopher.errors import InvalidJob, InvalidJson

from .choices import choices, fields_at
from .strict_json import check_names

T = TypeVar("T")

_NAMED = regex(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_NO_CHOICE = "Invalid enum value "


def explain(error: msgspec.ValidationError, base: str = "", kind: Any = None) -> InvalidJob:
    """Return the InvalidJob for a value that does not fit its type `kind`; `base` points to the value."""
    details, _, path = str(error).partition(" - at `$")
    field = base + path.rstrip("`").replace("[...]", "/*").replace("[", "/").replace("]", "").replace(".", "/")
    if named := _NAMED.match(details):
        if named[1].startswith("missing"):
            return InvalidJob("is required", f"{field}/{named[2]}")
        near = did_you_mean(named[2], fields_at(kind, path.rstrip("`"))) if kind is not None else ""
        return InvalidJob(f"is not a known field: {near or 'remove it'}", f"{field}/{named[2]}")
    if kind is not None and details.startswith(_NO_CHOICE):
        allowed = ", ".join(choices(kind, path.rstrip("`")))
        return InvalidJob(f"{details.removeprefix(_NO_CHOICE)} is not one of {allowed}", field or None)
    return InvalidJob(f"{details[0].lower()}{details[1:]}", field or None)


def decode(decoder: msgspec.json.Decoder[T], text: bytes | msgspec.Raw, *, names: bool = True) -> T:
    """Decode JSON to the decoder's type. Raises InvalidJob, naming the field; InvalidJson for invalid JSON.

    With `names`, duplicate keys in objects are rejected.
    """
    try:
        value = decoder.decode(text)
    except msgspec.ValidationError as error:
        raise explain(error, kind=decoder.type) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from None
    if names:
        check_names(text)
    return value
