"""A queue whose clock the test sets, and whose scripts it may break."""

from collections.abc import Mapping, Sequence
from typing import Any

from gopher.queue import scripts
from gopher.queue.keys import QueueKeys
from gopher.queue.moves import Queue
from gopher.server.calls import Call, Script

CLOCK = "local now = tonumber(redis.call('GET', KEYS[1] .. 'clock'))\n"
START = 1_800_000_000_000

#: A mutant: the script or shared piece it changes, what stands there, and what stands there instead.
Mutation = tuple[str, str, str]


class LabQueue(Queue):
    """The moves of a queue with scripts of the lab's own."""

    def __init__(self, keys: QueueKeys, mutation: Mutation | None = None) -> None:
        super().__init__(keys)
        self._mutation = mutation
        self._scripts: dict[str, Script] = {}

    def _make(self, verb: str, arguments: Sequence[Any], read: Any) -> Call:
        if verb not in self._scripts:
            self._scripts[verb] = scripts.build(verb, self._source(verb), self._pieces())
        return Call(self._scripts[verb], self.keys.prefix, tuple(arguments), read)

    def _pieces(self) -> Mapping[str, str]:
        pieces = {"clock": CLOCK, "ended": self._source("library/ended")}
        if self._mutation and self._mutation[0].startswith("library/"):
            pieces[self._mutation[0].removeprefix("library/")] = self._source(self._mutation[0])
        return pieces

    def _source(self, name: str) -> str:
        text = scripts.read(name)
        if name == "cancel":
            # In a long list a cancelled job stays where it stands: here every list is a long one.
            assert "LONGEST = 1000" in text
            text = text.replace("LONGEST = 1000", "LONGEST = 0")
        if name == "library/ended":
            # A job with many children notifies them in several calls: here two are many.
            assert "notifications_left = 200" in text
            text = text.replace("notifications_left = 200", "notifications_left = 2")
        if self._mutation and self._mutation[0] == name:
            _, old, new = self._mutation
            assert text.count(old) >= 1, f"the mutation of {name} does not apply any more: {old!r}"
            text = text.replace(old, new, 1)
        return text
