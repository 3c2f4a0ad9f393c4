"""/docs: Swagger UI for the OpenAPI document. It loads nothing from other hosts."""

from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory
from markupsafe import escape

from .base_path import own_url
from .operations import operation

blueprint = Blueprint("docs", __name__)

_FOLDER = Path(__file__).parent / "static" / "docs"
_FILES = frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in (".css", ".js", ".txt"))
#: With addresses that begin with a slash, before which the base path belongs.
_PAGE = (_FOLDER / "docs.html").read_text()
#: Swagger UI sets inline styles and has its icons in them; scripts are loaded from our files only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@blueprint.get("/docs")
@operation(None, {200: "text/html"})
def page() -> Response:
    """Browse and try the API."""
    page = _PAGE.replace('="/', f'="{escape(own_url("/"))}')
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": _POLICY})


@blueprint.get("/docs/<name>")
@operation(None, {200: "*/*"}, "not_found")
def file(name: str) -> Response:
    """Serve a file of the page."""
    if name not in _FILES:
        abort(404)
    answered = send_from_directory(_FOLDER, name)
    answered.headers["Cache-Control"] = "public, max-age=3600"
    return answered
