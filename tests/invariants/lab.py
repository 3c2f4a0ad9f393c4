"""A queue whose clock the test sets, and whose scripts it may break."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from gopher.queue.keys import QueueKeys
from gopher.queue.moves import Queue
from gopher.queue.scripts import join
from gopher.server.calls import Call, Script

CLOCK = "local now = tonumber(redis.call('GET', KEYS[1] .. 'clock'))\n"
START = 1_800_000_000_000

#: A mutant: the script or shared piece it changes, what stands there, and what stands there instead.
Mutation = tuple[str, str, str]


@cache
def source(name: str) -> str:
    return files("gopher.queue.lua").joinpath(f"{name}.lua").read_text()


class LabQueue(Queue):
    """The moves of a queue with scripts of the lab's own."""

    def __init__(self, keys: QueueKeys, mutation: Mutation | None = None) -> None:
        super().__init__(keys)
        self._mutation = mutation
        self._scripts: dict[str, Script] = {}

    def _make(self, verb: str, arguments: Sequence[Any], read: Any) -> Call:
        if verb not in self._scripts:
            self._scripts[verb] = join(verb, self._source(verb), self._pieces())
        return Call(self._scripts[verb], self.keys.prefix, tuple(arguments), read)

    def _pieces(self) -> Mapping[str, str]:
        pieces = {"clock": CLOCK, "ended": self._source("shared/ended")}
        if self._mutation and self._mutation[0].startswith("shared/"):
            pieces[self._mutation[0].removeprefix("shared/")] = self._source(self._mutation[0])
        return pieces

    def _source(self, name: str) -> str:
        text = source(name)
        if name == "cancel":
            # In a long list a cancelled job stays where it stands: here every list is a long one.
            assert "<= 1000" in text
            text = text.replace("<= 1000", "<= 0")
        if name == "shared/ended":
            # A job with many children tells them in several calls: here two are many.
            assert "to_tell = 200" in text
            text = text.replace("to_tell = 200", "to_tell = 2")
        if self._mutation and self._mutation[0] == name:
            _, old, new = self._mutation
            assert text.count(old) >= 1, f"the mutation of {name} does not apply any more: {old!r}"
            text = text.replace(old, new, 1)
        return text
