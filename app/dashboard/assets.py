"""Style sheet and scripts, all served from here: pages load nothing from other hosts."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Response, send_from_directory, url_for

from .frame import blueprint

_FOLDER = Path(__file__).parents[1] / "static" / "dashboard"
#: Seconds that a browser caches a file: its URL changes with its content.
_KEPT = 365 * 86400


@blueprint.get("/static/<digest>/<path:name>")
def asset(digest: str, name: str) -> Response:
    answer = send_from_directory(_FOLDER, name, max_age=_KEPT, conditional=True)
    answer.headers["Cache-Control"] = f"public, max-age={_KEPT}, immutable"
    return answer


@blueprint.app_template_global("asset")
def address(name: str) -> str:
    """Return the URL of the current version of a file."""
    return url_for("dashboard.asset", digest=_digest(name), name=name)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]
