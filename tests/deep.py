"""`make test-deep`: trials that judge times run one after the other, and all others beside them, at a lower priority.

Failovers wait most of the time, and the others take what they leave. What the others say follows in the end. Those of
them that wait for nothing begin once the quiet ones are over, when a processor is free.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import PORTS

_QUIET, _OTHERS = "deep and quiet", "deep and not quiet"
#: Those that wait for nothing.
_BUSY = ("tests/lua", "tests/mutants")


def main(arguments: Sequence[str]) -> int:
    """Return the exit code for all of them; arguments are those of pytest."""
    # Both get the Ctrl-C of a terminal too, and end what they have started.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    # Who names files has no others run.
    busy = () if any(Path(each.partition("::")[0]).exists() for each in arguments) else _BUSY
    waiting = [*arguments, *(f"--ignore={folder}" for folder in busy)]
    with tempfile.TemporaryFile() as said:
        others = subprocess.Popen(
            ["nice", "-n", "5", *_command(_OTHERS, waiting)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            # A port that is chosen in one of both may be taken by the other before a server listens there.
            env={**os.environ, PORTS: "2"},
        )
        codes = {subprocess.call(_command(_QUIET, arguments))}
        if busy:
            codes.add(subprocess.call(_command(_OTHERS, [*arguments, *busy])))
        codes.add(others.wait())
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    # What is asked for may be all of one kind.
    wrong = codes - {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return max(wrong) if wrong else min(codes)


def _command(which: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", "--durations=20", "-m", which, *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
