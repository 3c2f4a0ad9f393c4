"""The type of a handler's results: the annotation of what it returns."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from .conversion import decoder, schema
from .declarations import underlying
from .decoding import explain


class ResultType:
    """A type that results are checked against, as JSON: what clients get, and what is documented."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._decode = decoder(annotation).decode
        #: Whether a handler that returns nothing returns the right thing.
        self.may_be_none = self.wrong(b"null") is None

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12)."""
        return schema(self.annotation)

    def decode(self, result: bytes) -> Any:
        """Return a result as the type. Raises TypeError if it is of another one, as of an earlier version."""
        if wrong := self.wrong(result):
            raise TypeError(f"the result is not of the type that the function is annotated with: {wrong}")
        return self._decode(result)

    def wrong(self, result: bytes) -> str | None:
        """Return what is wrong with a result, None if nothing is."""
        try:
            self._decode(result)
        except msgspec.ValidationError as error:
            reason = explain(error, "result")
            return f"{(reason.field or 'result').replace('/', '.')} {reason.details}"
        return None


def result_type(function: Callable[..., Any]) -> ResultType | None:
    """Return the type of a handler's results.

    None if it is not annotated, as anything, or as something that JSON has no schema for.
    """
    annotation = typing.get_type_hints(underlying(function), include_extras=True).get("return", Any)
    if annotation is Any or isinstance(annotation, typing.TypeVar) or annotation is inspect.Signature.empty:
        return None
    try:
        # Fails for classes that only this program knows, which a decoder would accept.
        schema(annotation)
        return ResultType(annotation)
    except (TypeError, ValueError):
        return None
