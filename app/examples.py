"""An example request for a job type, made of its payload's schema."""

import json
import shlex
from typing import Any

_PLAIN = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}, "null": None}


def curl(base: str, job_type: str, schema: dict[str, Any]) -> str:
    """Return a command that submits a job of this type to the API at `base` (`http://localhost:8080/`)."""
    body = json.dumps({"type": job_type, "payload": example(schema)}, ensure_ascii=False)
    return f"curl {base}api/v1/jobs -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def example(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """Return a value that has what a schema requires, of the right types."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example(schema[choice][0], root)
    for given in ("examples", "enum"):
        if schema.get(given):
            return schema[given][0]
    if "default" in schema or "const" in schema:
        return schema.get("default", schema.get("const"))
    if "properties" in schema:
        return {name: example(schema["properties"][name], root) for name in schema.get("required", [])}
    kind = schema.get("type", "object")
    return _bounded(schema, _PLAIN[kind[0] if isinstance(kind, list) else kind])


def _bounded(schema: dict[str, Any], value: Any) -> Any:
    return max(value, schema["minimum"]) if "minimum" in schema and not isinstance(value, bool) else value
