"""`types`: which jobs can be submitted, and what their payloads look like."""

from typing import Any

import click

from gopher.registry import Handler
from gopher.settings import Settings

from .common import common, load_registry
from .output import Output, seconds


@click.command()
@click.argument("job_type", required=False)
@common
def types(out: Output, job_type: str | None) -> None:
    """List the job types of GOPHER_HANDLERS, or show one of them with the fields of its payload."""
    settings = Settings.from_env()
    registry = load_registry(settings)
    handlers = list(registry) if job_type is None else [registry.require(job_type)]
    if out.data({"types": [_described(handler, settings) for handler in handlers]}):
        return
    if job_type is None:
        rows = [(handler.name, _fields(handler), handler.description) for handler in handlers]
        out.table(("type", "payload", "description"), rows, empty="no handler is registered: set GOPHER_HANDLERS")
    else:
        _show(out, handlers[0], settings)


def _show(out: Output, handler: Handler, settings: Settings) -> None:
    described = _described(handler, settings)
    retries, timeout = str(described["max_retries"]), seconds(described["timeout"])
    out.fields([("type", handler.name), ("", handler.description), ("max retries", retries), ("timeout", timeout)])
    properties = _object(handler)
    required = properties.get("required", [])
    rows = [
        (name, _kind(field), "required" if name in required else _default(field))
        for name, field in properties.get("properties", {}).items()
    ]
    out.line("")
    out.table(("field", "kind", ""), rows, empty="the payload may be any JSON object")


def _described(handler: Handler, settings: Settings) -> dict[str, Any]:
    return {
        "name": handler.name,
        "description": handler.description,
        "payload_schema": handler.payload_schema(),
        "timeout": settings.worker_job_timeout if handler.timeout is None else handler.timeout,
        "max_retries": settings.worker_max_retries if handler.max_retries is None else handler.max_retries,
    }


def _fields(handler: Handler) -> str:
    """Return the payload's fields, optional ones in brackets: `{to, subject, body, [cc]}`."""
    schema = _object(handler)
    required = schema.get("required", [])
    names = (name if name in required else f"[{name}]" for name in schema.get("properties", {}))
    return "{" + ", ".join(names) + "}"


def _object(handler: Handler) -> dict[str, Any]:
    """Return the schema of the payload object itself."""
    schema = handler.payload_schema()
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
