"""Versions of schedules in HTTP: the ETag of a response, and the conditions of a change (RFC 9110, 13.1)."""

from collections.abc import Mapping
from typing import Annotated, Any

from flask import request
from msgspec import Meta
from werkzeug.exceptions import BadRequest

from gopher.interface.operation import Operation
from gopher.jobs.schedule import ABSENT, ANY

#: Matches no version.
_NONE = "-"
_IF_MATCH = Annotated[
    str,
    Meta(
        description="Only if the schedule has this version: the ETag of an earlier response, or several; * is any.",
        examples=['"1795920000000-3f2a9c41d07e"'],
    ),
]
_IF_NONE_MATCH = Annotated[
    str,
    Meta(description="`*`: only if there is no such schedule yet.", examples=["*"], extra_json_schema={"const": "*"}),
]


def headers_of(declared: Operation) -> Mapping[str, Any]:
    """Return name and type of the headers that an operation reads."""
    if not declared.versioned or declared.method == "GET":
        return {}
    return {"If-Match": _IF_MATCH, **({"If-None-Match": _IF_NONE_MATCH} if declared.method == "PUT" else {})}


def expected_version() -> str | None:
    """Return the version that the request expects, as the clients take it (`if_version`)."""
    if "If-None-Match" in request.headers:
        if request.method != "PUT" or not request.if_none_match.star_tag or "If-Match" in request.headers:
            raise BadRequest("If-None-Match: only * is supported, in a PUT without If-Match")
        return ABSENT
    if "If-Match" not in request.headers:
        return None
    # Weak ones never match.
    return ANY if request.if_match.star_tag else ",".join(sorted(request.if_match.as_set())) or _NONE


def etag(version: str) -> Mapping[str, str]:
    """Return the header that tells a version."""
    return {"ETag": f'"{version}"'}
