"""One log line for every administrative act: who did what to what, to how many, and how it ended."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from flask import Flask, Response, g, request

from gopher.logs import get_logger

from .operations import of

#: Characters of a value.
_LONGEST = 200
_log = get_logger("audit")


def note(**facts: Any) -> None:
    """Add facts to the line of this request, such as `count=3`."""
    g.audit = {**g.get("audit", {}), **facts}


def act_as(view: Callable[..., Response], arguments: Mapping[str, Any]) -> None:
    """Have the line of this request say that it did what a view of the API does: it came from a page."""
    g.acted = (f"{view.__module__.rpartition('.')[2]}.{view.__name__}", arguments)
    g.sent = arguments.get("asked")


def install(app: Flask) -> None:
    @app.after_request
    def write(response: Response) -> Response:
        if _is_administrative(app):
            action, arguments = g.get("acted", (request.endpoint, request.view_args or {}))
            _log.warning(
                "audit",
                action=action,
                method=request.method,
                who=g.get("key_name", "anonymous"),
                address=request.remote_addr,
                status=response.status_code,
                on={**_named(arguments), **_named(request.args), **_sent()},
                request_id=g.request_id,
                **g.get("audit", {}),
            )
        return response


def _is_administrative(app: Flask) -> bool:
    declared = of(app, request.endpoint)
    if declared is not None and declared.is_page:
        return request.method not in ("GET", "HEAD", "OPTIONS")
    needed = g.get("needed", declared.role if declared is not None else None)
    return needed == "admin" and request.method != "OPTIONS"


def _sent() -> dict[str, Any]:
    """Return the plain fields of the body, as far as they were said; never a payload or metadata."""
    sent = g.get("sent")
    if not isinstance(sent, msgspec.Struct):
        return {}
    defaults = {each.name: each.default for each in msgspec.structs.fields(sent)}
    said = {name: getattr(sent, name) for name in sent.__struct_fields__}
    return _named({name: value for name, value in said.items() if value != defaults[name]})


def _named(values: Any) -> dict[str, Any]:
    return {
        str(name)[:_LONGEST]: value[:_LONGEST] if isinstance(value, str) else value
        for name, value in values.items()
        if isinstance(value, str | int | float)
    }
