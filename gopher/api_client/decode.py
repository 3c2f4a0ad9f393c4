"""Decodes the API's JSON to models."""

import typing
from functools import cache
from typing import Any, TypeVar

import msgspec

View = TypeVar("View", bound=msgspec.Struct)
Value = TypeVar("Value")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_view(kind: type[View], text: bytes | msgspec.Raw) -> View:
    """Decode a model. Unknown fields are ignored, since the API may be newer than this client.

    Field by field, since msgspec decodes only null for `Raw | None`.
    """
    members, fields = _members(text), _fields(kind)
    return kind(**{name: _value(annotation, members[name]) for name, annotation in fields.items() if name in members})


def read(kind: type[Value], text: bytes | msgspec.Raw) -> Value:
    """Return a value of any type of an answer."""
    value: Value = _value(kind, msgspec.Raw(text))
    return value


def read_member(kind: type[Value], text: bytes, member: str) -> Value:
    """Return a member of an answer as a type, all of it for ""."""
    return read(kind, _members(text)[member] if member else text)


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _value(annotation: Any, raw: msgspec.Raw) -> Any:
    if annotation is msgspec.Raw:
        return raw.copy()
    arguments = typing.get_args(annotation)
    if msgspec.Raw in arguments:
        return None if bytes(raw) == b"null" else raw.copy()
    if typing.get_origin(annotation) is list and isinstance(arguments[0], type) and _holds_raw(arguments[0]):
        return [read_view(arguments[0], each) for each in _elements(raw)]
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return read_view(annotation, raw)
    return msgspec.json.decode(raw, type=annotation)


def _holds_raw(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct) and any(
        annotation is msgspec.Raw or msgspec.Raw in typing.get_args(annotation) for annotation in _fields(kind).values()
    )
