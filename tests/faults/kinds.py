"""Every kind of monster, and how each must be told to have ended."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gopher.jobs.models import JobView
from tests.worker.processes import error_of
from tests.worker.test_monsters import MONSTERS


class Kind(NamedTuple):
    """A job type with a payload, the class of its error, and words of its message."""

    type: str
    payload: Mapping[str, Any]
    error: str
    words: str

    def submission(self) -> dict[str, Any]:
        # On a busy machine, what ends by itself may take longer than a second.
        timeout = "1s" if self.error == "Timeout" else "30s"
        return {"type": self.type, "payload": self.payload, "timeout": timeout, "max_retries": 0}

    def fits(self, view: JobView) -> bool:
        error = error_of(view)
        return view.status == "failed" and error.get("type") == self.error and self.words in error["message"]

    def told(self, view: JobView) -> str:
        error = error_of(view)
        return f"{view.status} {error.get('type')}: {error.get('message')}"


_MORE = {
    "gives itself up": ("discard", {}, "Discard", "never mind"),
    "has a payload that does not fit": ("strict", {"n": "three"}, "InvalidJob", "/payload/n"),
    "divides by nothing": ("raise", {"error": "ZeroDivisionError"}, "ZeroDivisionError", "boom"),
    "is of a permanent kind": ("raise", {"error": "KeyError"}, "KeyError", "boom"),
}

KINDS: dict[str, Kind] = {name: Kind(*parts) for name, parts in {**MONSTERS, **_MORE}.items()}
