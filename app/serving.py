"""Serves the operations that the interface declares (gopher/interface): routes, roles and document follow from it.

    workers = serve(blueprint, Gopher.workers)

is all that most of them need. An operation whose response is not just the result of the client's method has a view:

    @serves(blueprint, Gopher.job, query=Waiting)
    def show(job_id: JobId, asked: Waiting) -> Response:
        \"\"\"Show a job; with `wait`, once it has finished.\"\"\"

`asked` is a Struct of the query parameters, `sent` that of the body, all others are path parameters.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from flask import Blueprint, Response

from gopher.interface import (
    BatchesInterface,
    DeadLettersInterface,
    FilesInterface,
    FleetInterface,
    FlowInterface,
    Gopher,
    KeysInterface,
    SchedulesInterface,
    WaitingInterface,
    WebhooksInterface,
)
from gopher.interface.operation import Operation, action_of, declaration_of

from . import versions
from .answers import answer
from .context import gopher
from .operations import View, checked, described

#: Class of the interface -> the attribute of a client that has it.
_PARTS = {
    kind.__name__: kind.part
    for kind in (
        Gopher,
        BatchesInterface,
        DeadLettersInterface,
        FlowInterface,
        SchedulesInterface,
        KeysInterface,
        FilesInterface,
        FleetInterface,
        WaitingInterface,
        WebhooksInterface,
        FilesInterface,
    )
}


def serves(
    blueprint: Blueprint, method: Callable[..., Any], *also: tuple[str, str], **own: Any
) -> Callable[[View], View]:
    """Let a view serve an operation at its route, and at the other routes in `also`: (method, route).

    `own` are fields of the operation that differ for the API; summary and description also differ if the view has a
    docstring.
    """
    declared = declaration_of(method)
    part = _PARTS[method.__qualname__.partition(".")[0]]
    headers = {"headers": versions.headers_of(declared)} if declared.versioned else {}
    declared = msgspec.structs.replace(declared, **{"action": action_of(method, part), **headers, **own})

    def register(view: View) -> View:
        called = checked(view, msgspec.structs.replace(declared, **described(view)))
        for verb, route in [(declared.method, declared.route), *also]:
            blueprint.add_url_rule(route, view.__name__, called, methods=[verb])
        return called

    return register


def serve(blueprint: Blueprint, method: Callable[..., Any], name: str = "") -> View:
    """Serve an operation by the client's method, whose result is the response, or a member of it.

    `name` is the operation's name in the document if it differs from the method's.
    """
    declared, part = declaration_of(method), _PARTS[method.__qualname__.partition(".")[0]]

    def view(**arguments: Any) -> Response:
        for asked in (arguments.pop("asked", None), arguments.pop("sent", None)):
            if asked is not None:
                arguments |= {name: getattr(asked, name) for name in asked.__struct_fields__}
        if declared.versioned and declared.method != "GET":
            # A form has its own.
            arguments.setdefault("if_version", versions.expected_version())
        result = getattr(getattr(gopher(), part) if part else gopher(), method.__name__)(**arguments)
        return _answer(declared, arguments, result)

    view.__name__, view.__module__ = name or method.__name__, blueprint.import_name
    return serves(blueprint, method)(view)


def _answer(declared: Operation, arguments: dict[str, Any], result: Any) -> Response:
    if not declared.member and not declared.fixed:
        return answer(result, headers=versions.etag(result.version) if declared.versioned else None)
    ((status, kind),) = declared.answers.items()
    members = {**arguments, **declared.fixed, **({declared.member: result} if declared.member else {})}
    return answer(kind(**{name: members[name] for name in kind.__struct_fields__ if name in members}), status)
