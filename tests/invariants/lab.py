"""A queue whose clock the test sets."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from gopher.queue import scripts
from gopher.queue.moves import Queue
from gopher.server.calls import Call, Script

CLOCK = "local now = tonumber(redis.call('GET', KEYS[1] .. 'clock'))\n"
START = 1_800_000_000_000

#: What the lab changes so that a rare branch is a frequent one: the text, what is there, and what is put there instead.
FREQUENT = (
    # In a long list a cancelled job stays where it stands: here every list is a long one.
    ("library/leaving", "LONGEST = 1000", "LONGEST = 0"),
    # A job with many children notifies them in several calls: here two are many.
    ("library/children", "notifications_left = 200", "notifications_left = 2"),
    # Its record names 200: here the second one is in the list already.
    ("library/children", "NAMED = 200 * 37 - 1", "NAMED = 36"),
)


class LabQueue(Queue):
    """The moves of a queue with scripts of the lab's own."""

    def _make(self, verb: str, arguments: Sequence[Any], read: Any) -> Call:
        return Call(lab_script(verb), self.keys.prefix, tuple(arguments), read)


@cache
def lab_script(verb: str) -> Script:
    pieces = {text.removeprefix("library/"): _text(text) for text, *_ in FREQUENT if text.startswith("library/")}
    return scripts.build(verb, _text(verb), {"clock": CLOCK, **pieces})


def _text(name: str) -> str:
    text = scripts.read(name)
    for changed, old, new in FREQUENT:
        if changed == name:
            assert old in text, f"{name}.lua has no {old!r} any more"
            text = text.replace(old, new)
    return text
