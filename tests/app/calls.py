"""Every route of the API with its methods, and what docs/security.md promises to whom."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flask import Flask
from gopher.app import create_app, openapi, operations

from gopher.config.settings import Settings
from gopher.interface.operation import Operation

#: Methods that most routes do not have.
_OTHERS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


class Route(NamedTuple):
    """A method of a route; its operation is None where there is none."""

    method: str
    rule: str
    operation: Operation | None

    @property
    def is_page(self) -> bool:
        return self.operation is not None and self.operation.is_page


def routes_of(app: Flask) -> list[Route]:
    """Return each route with its methods: taken from the application itself, so that a new one can't be forgotten."""
    served = {
        (method, rule.rule): operations.operation_of(app, rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS"}
    }
    others = {(method, rule): None for _, rule in served for method in _OTHERS}
    return [
        Route(*place, declared) for place, declared in sorted({**others, **served}.items(), key=lambda each: each[0])
    ]


APP = create_app(Settings())
#: The operations of the API. The dashboard's pages have a gate, and tests, of their own.
OPERATIONS = sorted(
    (method, rule.rule)
    for rule in APP.url_map.iter_rules()
    for method in openapi.methods_of(rule)
    if not (declared := operations.operation_of(APP, rule.endpoint)) or not declared.is_page
)
CALLERS = ("no key", "wrong key", "submit", "read", "admin")


@cache
def promised() -> dict[tuple[str, str], dict[str, str]]:
    """Return what docs/security.md says: (method, route) -> caller -> yes, 401, 403, or `own jobs, else 404`."""
    text = (Path(__file__).parents[2] / "docs/security.md").read_text()
    rows = re.findall(r"^\| ((?:none|submit|read|admin)\b[^|]*) \| (.*) \|$", text, re.MULTILINE)
    roles = {needs: dict(zip(CALLERS, cells.split(" | "), strict=True)) for needs, cells in rows}
    needs = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \| ([^|]*) \|$", text, re.MULTILINE)
    return {(method, route): roles[needed] for method, route, needed in needs}
