"""Finds the values that a field allows, and the fields of an object, for messages about what is none of them."""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from gopher.base.patterns import regex

_WITH_FIELDS = inspect.StructType | inspect.DataclassType | inspect.TypedDictType
_STEP = regex(r"\.([^.\[\]]+)|(\[)")


def choices(kind: Any, path: str) -> list[str]:
    """Return the values allowed at a path such as `.sizes[0].fit` in a value of a type; none if it is no choice."""
    return [str(value) for each in _at(kind, path) for leaf in _members(each) for value in _values(leaf)]


def fields_at(kind: Any, path: str) -> list[str]:
    """Return the names of the fields of an object at a path in a value of a type."""
    every = [leaf for each in _at(kind, path) for leaf in _members(each) if isinstance(leaf, _WITH_FIELDS)]
    return [field.encode_name for each in every for field in each.fields]


def _at(kind: Any, path: str) -> list[inspect.Type]:
    found = [inspect.type_info(kind)]
    for name, _ in _STEP.findall(path):
        found = [each for parent in found for each in _inside(parent, name)]
    return found


def _members(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the members of a union, without metadata."""
    if isinstance(kind, inspect.Metadata):
        yield from _members(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _members(each)
    else:
        yield kind


def _inside(kind: inspect.Type, name: str) -> Iterator[inspect.Type]:
    """Yield the types of a field, or of the items if it has no name."""
    for each in _members(kind):
        if name and isinstance(each, _WITH_FIELDS):
            yield from (field.type for field in each.fields if field.encode_name == name)
        elif isinstance(each, inspect.DictType):
            yield each.value_type
        elif not name and isinstance(each, inspect.CollectionType):
            yield each.item_type


def _values(kind: inspect.Type) -> Iterator[Any]:
    if isinstance(kind, inspect.LiteralType):
        yield from kind.values
    elif isinstance(kind, inspect.EnumType):
        yield from (member.value for member in kind.cls)
