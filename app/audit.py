"""The audit log: one line for every administrative operation, with who, what, how many jobs, and the outcome."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from flask import Flask, Request, Response, g

from gopher.compat import current
from gopher.telemetry.logs import get_logger

from .context import current_request
from .operations import operation_of

#: Values are truncated to this many characters.
_LONGEST = 200
_log = get_logger("audit")


def note(**facts: Any) -> None:
    """Add fields to this request's audit line, such as `count=3`."""
    g.audit = {**g.get("audit", {}), **facts}


def act_as(view: Callable[..., Response], arguments: Mapping[str, Any]) -> None:
    """Log this request, which came from the dashboard, as the given operation of the API."""
    g.acted = (f"{view.__module__.rpartition('.')[2]}.{view.__name__}", arguments)
    g.sent = arguments.get("asked")


def install(app: Flask) -> None:
    @app.after_request
    def write(response: Response) -> Response:
        asked, about = current_request(), current(g)
        if _is_administrative(app, asked, about):
            action, arguments = about.get("acted", (asked.endpoint, asked.view_args or {}))
            _log.warning(
                "audit",
                action=action,
                method=asked.method,
                who=about.get("key_name", "anonymous"),
                address=asked.remote_addr,
                status=response.status_code,
                on={**_named(arguments), **_named(asked.args), **_said(about.get("sent"))},
                request_id=about.request_id,
                **about.get("audit", {}),
            )
        return response


def _is_administrative(app: Flask, asked: Request, about: Any) -> bool:
    declared = operation_of(app, asked.endpoint)
    if declared is not None and declared.is_page:
        return asked.method not in ("GET", "HEAD", "OPTIONS")
    needed = about.get("needed", declared.role if declared is not None else None)
    return needed == "admin" and asked.method != "OPTIONS"


def _said(sent: Any) -> dict[str, Any]:
    """Return the plain fields of a body that were given; never a payload or metadata."""
    if not isinstance(sent, msgspec.Struct):
        return {}
    said = {each.encode_name: (getattr(sent, each.name), each.default) for each in msgspec.structs.fields(sent)}
    return _named({name: value for name, (value, default) in said.items() if value != default})


def _named(values: Any) -> dict[str, Any]:
    return {
        str(name)[:_LONGEST]: value[:_LONGEST] if isinstance(value, str) else value
        for name, value in values.items()
        if isinstance(value, str | int | float)
    }
