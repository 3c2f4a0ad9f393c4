"""Form actions: each calls the API's view with the form's fields, so that both do the same."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from flask import Response, request
from gopher.app.operations import read_texts

Filled = TypeVar("Filled", bound=msgspec.Struct)


def act(view: Callable[..., Response], **arguments: Any) -> dict[str, Any]:
    """Call a view of the API and return its response.

    `asked` and `sent` are the view's query and JSON body; the other arguments are its path parameters.
    """
    answer: dict[str, Any] = msgspec.json.decode(view(**arguments).get_data())
    return answer


def filled(kind: type[Filled]) -> Filled:
    """Parse the fields of a form. Raises InvalidJob, naming the field."""
    texts = {name: request.form.get(name, "").strip() for name in kind.__struct_encode_fields__}
    return read_texts(kind, {name: text for name, text in texts.items() if text})
