"""What buttons do: each calls a view of the API with what a form says, so that an act is the same however it came."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from flask import Response, request
from gopher.app import audit
from gopher.app.operations import read_texts

Filled = TypeVar("Filled", bound=msgspec.Struct)


def act(view: Callable[..., Response], **arguments: Any) -> dict[str, Any]:
    """Do what a view of the API does; return its answer. The audit names the API's own call.

    `asked` and `sent` are what the API's callers send in the query and as JSON; the other arguments stand in its path.
    """
    audit.act_as(view, arguments)
    answer: dict[str, Any] = msgspec.json.decode(view(**arguments).get_data())
    return answer


def filled(kind: type[Filled]) -> Filled:
    """Return what the fields of a form say. Raises InvalidJob, naming the field."""
    texts = {name: request.form.get(name, "").strip() for name in kind.__struct_encode_fields__}
    return read_texts(kind, {name: text for name, text in texts.items() if text})
