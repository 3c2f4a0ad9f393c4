"""Options made of a Struct's fields: names, types, limits, defaults and texts are declared there."""

from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any, TypeVar, get_args, get_origin

import click
import msgspec
from msgspec import Meta

from .options import names_of

Command = TypeVar("Command", bound=Callable[..., Any])


def options(
    kind: type[msgspec.Struct], *, without: Collection[str] = (), **defaults: Any
) -> Callable[[Command], Command]:
    """Give a command an option for each field of a Struct, but for those `without`.

    The command's parameters are named as the fields. Defaults are those of the fields, or `defaults`.
    """

    def add(command: Command) -> Command:
        for each in reversed(msgspec.structs.fields(kind)):
            if each.name not in without:
                command = _option(each, defaults.get(each.name, each.default))(command)
        return command

    return add


def _option(field: msgspec.structs.FieldInfo, default: Any) -> Callable[[Command], Command]:
    choices = [*_choices(field.type)]
    metas = [meta for _, each in choices for meta in each]
    described = next((meta.description for meta in reversed(metas) if meta.description), "")
    accepted = _accepted(field.encode_name, choices)
    is_given = default not in (None, msgspec.NODEFAULT, msgspec.UNSET)
    return click.option(
        *names_of(field.encode_name),
        field.name,
        required=field.required,
        default=default if is_given else None,
        show_default=is_given,
        help=f"{described} May be repeated." if "multiple" in accepted else described,
        **accepted,
    )


def _choices(kind: Any) -> Iterator[tuple[Any, list[Meta]]]:
    """Yield the types of a field except None, each with its metadata."""
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        for each, own in _choices(inner):
            yield each, [*own, *(meta for meta in metas if isinstance(meta, Meta))]
    elif get_args(kind) and get_origin(kind) is not list:
        for each in get_args(kind):
            if each is not type(None):
                yield from _choices(each)
    else:
        yield kind, []


def _accepted(name: str, choices: list[tuple[Any, list[Meta]]]) -> dict[str, Any]:
    """Return what click has to know of an option's values."""
    kind, metas = choices[0]
    if kind is bool:
        return {"is_flag": True}
    if kind is msgspec.Raw:
        return {"metavar": "JSON"}
    metavar = next(
        (meta.extra["metavar"] for meta in reversed(metas) if meta.extra and "metavar" in meta.extra), name.upper()
    )
    if get_origin(kind) is list:
        return {"multiple": True, "metavar": metavar}
    schema: dict[str, Any] = {}
    for meta in metas:
        schema |= meta.extra_json_schema or {}
    if "enum" in schema:
        return {"type": click.Choice([str(each) for each in schema["enum"]])}
    if kind in (int, float):
        low: Any = next((meta.ge for meta in metas if meta.ge is not None), schema.get("minimum"))
        high: Any = next((meta.le for meta in metas if meta.le is not None), schema.get("maximum"))
        return {"type": (click.IntRange if kind is int else click.FloatRange)(low, high), "metavar": "N"}
    return {"metavar": metavar}
