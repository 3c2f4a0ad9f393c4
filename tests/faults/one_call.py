"""A client that makes one call and ends: `python -m tests.faults.one_call`, the call as JSON on its standard input.

What the tests of crash points kill in the middle of a call.
"""

import json
import os
import sys
from typing import Any

from gopher.config.settings import Settings
from gopher.queue.scripts import script
from gopher.queue.store import Server
from gopher.server.calls import Call


def encode(call: Call) -> str:
    as_bytes = [value.encode() if isinstance(value, str) else value for value in call.arguments]
    # Any bytes as text, and back.
    arguments = [value.decode("latin-1") if isinstance(value, bytes) else value for value in as_bytes]
    return json.dumps([call.verb, call.key, arguments])


def main() -> None:
    verb, key, arguments = json.load(sys.stdin)
    with Server(Settings.from_env(), connections=1) as server:
        as_sent = [value.encode("latin-1") if isinstance(value, str) else value for value in arguments]
        server.run(Call(script(verb), key, tuple(as_sent), _as_it_is))
    # An interpreter that ends as usual would take as long again.
    os._exit(0)


def _as_it_is(reply: Any) -> Any:
    return reply


if __name__ == "__main__":
    main()
