"""`types`: job types and their payloads."""

from typing import Any

import click

from gopher.jobs.models import TypeView
from gopher.jobs.registry import unknown_type

from .common import checking_client, common, known_types
from .output import Output, seconds

#: Number of fields of a payload in the list of types.
_MOST_FIELDS = 7


@click.command()
@click.argument("job_type", required=False, shell_complete=known_types)
@common
def types(out: Output, job_type: str | None) -> None:
    """List the job types of GOPHER_HANDLERS, or show one with the fields of its payload."""
    with checking_client() as gopher:
        known = gopher.types()
    shown = known if job_type is None else [view for view in known if view.name == job_type]
    if job_type is not None and not shown:
        raise unknown_type(job_type, [view.name for view in known])
    if out.data({"types": shown}):
        return
    if job_type is None:
        rows = [(view.name, _fields(view), view.description) for view in shown]
        out.table(("type", "payload", "description"), rows, empty="no handlers are registered: set GOPHER_HANDLERS")
    else:
        _show(out, shown[0])


def _show(out: Output, view: TypeView) -> None:
    limit = [
        view.rate_limit or "",
        f"concurrency {view.concurrency}" if view.concurrency else "",
        "for each limit key" if view.limit_per_key else "",
    ]
    out.fields(
        [
            ("type", view.name),
            ("", view.description),
            ("max retries", str(view.max_retries)),
            ("timeout", seconds(view.timeout)),
            ("limit", ", ".join(each for each in limit if each)),
            ("preemptible", "yes: frozen while jobs of high priority need its place" if view.preemptible else ""),
            ("requires", "" if view.needs == "submit" else f"a key with the role {view.needs}"),
        ]
    )
    properties = _object(view)
    required = properties.get("required", [])
    rows = [
        (name, _kind(field), "required" if name in required else _default(field))
        for name, field in properties.get("properties", {}).items()
    ]
    out.line("")
    out.table(("field", "type", ""), rows, empty="the payload can be any JSON object")


def _fields(view: TypeView) -> str:
    """Return the payload's fields, required ones first, optional ones in brackets: `{to, subject, body, [cc]}`."""
    schema = _object(view)
    required = schema.get("required", [])
    names = [*required, *(f"[{name}]" for name in schema.get("properties", {}) if name not in required)]
    return "{" + ", ".join(names[:_MOST_FIELDS] + ["..."] * (len(names) > _MOST_FIELDS)) + "}"


def _object(view: TypeView) -> dict[str, Any]:
    """Return the schema of the payload object itself."""
    schema = view.payload_schema
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = schema.get("$defs", {}).get(name, schema)
    return found


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return "optional" if value is None else f"default {value}"


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return "one of " + ", ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"] if each.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return str(field.get("type", "any"))
