"""/docs: Swagger UI for the OpenAPI document. It loads nothing from other hosts."""

from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory

from .operations import operation

blueprint = Blueprint("docs", __name__)

_FOLDER = Path(__file__).parent / "static" / "docs"
_FILES = frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in (".css", ".js", ".txt"))
#: Swagger UI sets inline styles and has its icons in them; scripts are loaded from our files only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@blueprint.get("/docs")
@operation(None, {200: "text/html"})
def page() -> Response:
    """Browse and try the API."""
    answered = send_from_directory(_FOLDER, "docs.html")
    answered.headers["Content-Security-Policy"] = _POLICY
    return answered


@blueprint.get("/docs/<name>")
@operation(None, {200: "*/*"}, "not_found")
def file(name: str) -> Response:
    """Serve a file of the page."""
    if name not in _FILES:
        abort(404)
    answered = send_from_directory(_FOLDER, name)
    answered.headers["Cache-Control"] = "public, max-age=3600"
    return answered
