"""Style sheet and scripts, all from here: no page asks another host for anything."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Response, send_from_directory, url_for

from .frame import blueprint

_FOLDER = Path(__file__).parents[1] / "static" / "dashboard"
#: Seconds that a browser keeps a file: its address changes with it.
_KEPT = 365 * 86400


@blueprint.get("/static/<digest>/<path:name>")
def asset(digest: str, name: str) -> Response:
    answer = send_from_directory(_FOLDER, name, max_age=_KEPT, conditional=True)
    answer.headers["Cache-Control"] = f"public, max-age={_KEPT}, immutable"
    return answer


@blueprint.app_template_global("asset")
def address(name: str) -> str:
    """Return the address of a file as it is now."""
    return url_for("dashboard.asset", digest=_digest(name), name=name)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]
