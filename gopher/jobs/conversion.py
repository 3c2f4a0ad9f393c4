"""Payloads and results from and to JSON.

msgspec itself knows dataclasses, attrs classes, times, UUIDs and Decimals. This adds pydantic models, for applications
that have them: they are recognised by their methods, and pydantic is never imported.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect as kinds


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder of JSON to a type. Raises TypeError for one that can't be decoded."""
    made = msgspec.json.Decoder(kind, dec_hook=_decoded)
    if unknown := next(_unknown(kinds.type_info(kind), set()), None):
        raise TypeError(
            f"{unknown.__module__}.{unknown.__qualname__} is not a type of data; use a dataclass, for example"
        )
    return made


def schema(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a type. Raises TypeError if there is none."""
    return msgspec.json.schema(kind, schema_hook=schema_of_model)


def builtins(value: Any) -> Any:
    """Return a value as what JSON has. Raises TypeError."""
    return msgspec.to_builtins(value, enc_hook=_encoded)


def schema_of_model(kind: Any) -> dict[str, Any]:
    """Return the schema of a pydantic model, without references: they would be to definitions of its own."""
    if not _is_model(kind):
        raise TypeError(f"{kind!r} has no JSON Schema")
    whole: dict[str, Any] = kind.model_json_schema()
    inlined: dict[str, Any] = _inlined(whole, whole.pop("$defs", {}), ())
    return inlined


def _decoded(kind: Any, value: Any) -> Any:
    if not _is_model(kind):
        raise NotImplementedError(f"{kind!r} can't be decoded")
    try:
        # As JSON: a strict model takes times as text from nothing else.
        return kind.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        raise ValueError(_explained(error)) from error


def _encoded(value: Any) -> Any:
    if _is_model(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"objects of type {type(value).__name__} are unsupported")


encode = msgspec.json.Encoder(enc_hook=_encoded).encode
encode_lines = msgspec.json.Encoder(enc_hook=_encoded).encode_lines


def _is_model(kind: Any) -> bool:
    return hasattr(kind, "model_validate_json") and hasattr(kind, "model_json_schema")


def _explained(error: Any) -> str:
    """Return pydantic's errors in one line: `lines.0.price: Input should be a valid decimal`."""
    if not hasattr(error, "errors"):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['msg']}" for each in error.errors())


def _inlined(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, definitions, inside) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name in inside:
        # A model that contains itself.
        return {"type": "object", "title": name}
    if name in definitions:
        return _inlined(definitions[name], definitions, (*inside, name))
    return {key: _inlined(each, definitions, inside) for key, each in schema.items()}


def _unknown(kind: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the classes in a type that nothing can decode: msgspec itself accepts them until it decodes one."""
    if isinstance(kind, kinds.CustomType) and not _is_model(kind.cls):
        yield kind.cls
    if not isinstance(kind, kinds.Type | kinds.Field) or id(kind) in seen:
        return
    seen.add(id(kind))
    for name in kind.__struct_fields__:
        value = getattr(kind, name)
        for part in value if isinstance(value, tuple) else (value,):
            yield from _unknown(part, seen)
