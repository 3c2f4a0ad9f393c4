"""Examples generated from schemas: a request for each job type, and those in the OpenAPI document."""

import json
import shlex
from typing import Any

_PLAIN = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}, "null": None}

#: Texts of a format.
_FORMATS = {
    "date": "2026-11-24",
    "date-time": "2026-11-24T10:26:07Z",
    "time": "10:26:07",
    "duration": "PT90S",
    "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "decimal": "1.50",
}


def curl(base: str, job_type: str, schema: dict[str, Any]) -> str:
    """Return a curl command that submits a job of this type to the API at `base` (`http://localhost:8080/`)."""
    body = json.dumps({"type": job_type, "payload": example(schema)}, ensure_ascii=False)
    return f"curl {shlex.quote(base)}api/v1/jobs -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def example(schema: dict[str, Any], root: dict[str, Any] | None = None, *, whole: bool = False) -> Any:
    """Return an example of a schema: required properties and those with examples; all of them for a `whole` one.

    `root` has the referenced schemas in `$defs`, by the last part of the reference.
    """
    return _Maker((root or schema).get("$defs", {}), whole=whole).value(schema)


class _Maker:
    def __init__(self, definitions: dict[str, Any], *, whole: bool) -> None:
        self._definitions = definitions
        self._whole = whole

    def value(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self.value(self._definitions[schema["$ref"].rpartition("/")[2]])
        for choice in ("anyOf", "oneOf"):
            if choice in schema and "examples" not in schema:
                return self.value(schema[choice][0])
        for given in ("examples", "enum"):
            if schema.get(given) and "const" not in schema:
                return schema[given][0]
        return (
            schema["const"] if "const" in schema else schema["default"] if "default" in schema else self._made(schema)
        )

    def _made(self, schema: dict[str, Any]) -> Any:
        if "properties" in schema:
            return self._object(schema)
        if "prefixItems" in schema:
            return [self.value(each) for each in schema["prefixItems"]]
        if schema.get("type") == "array" and (self._whole or schema.get("minItems")):
            return [self.value(schema["items"])]
        if self._whole and isinstance(schema.get("additionalProperties"), dict):
            name = self.value(schema.get("propertyNames", {"type": "string"}))
            return {name: self.value(schema["additionalProperties"])}
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if schema.get("contentEncoding") == "base64":
            return "dGV4dA=="
        kind = schema.get("type", "object")
        return _bounded(schema, _PLAIN[kind[0] if isinstance(kind, list) else kind])

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        needed = schema.get("required", ())
        return {
            name: self.value(each)
            for name, each in schema["properties"].items()
            if self._whole or name in needed or "examples" in each
        }


def _bounded(schema: dict[str, Any], value: Any) -> Any:
    return max(value, schema["minimum"]) if "minimum" in schema and not isinstance(value, bool) else value
