"""The standard streams of `gopherctl`: they may be closed, and may not be able to write every character."""

import codecs
import os
import sys
from typing import IO

#: Plain characters for those that a terminal without Unicode lacks; all others are escaped.
_PLAIN = {"\N{HORIZONTAL ELLIPSIS}": "...", "\N{EN DASH}": "-", "\N{BOX DRAWINGS HEAVY HORIZONTAL}": "-"}


def prepare() -> None:
    """Open what is closed, and make sure that no character is an error."""
    _open_closed()
    codecs.register_error("plain", _in_plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


def discard_output(stream: IO[str] | None = None) -> None:
    """Write no more to a stream, by default stdout, that can't be written to: the rest would be an error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def writes_unicode() -> bool:
    """Return whether stdout can write every character."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"


def not_text(arguments: list[str]) -> str | None:
    """Return the first argument that is neither valid text nor the path of a file, in a form that can be printed."""
    for argument in arguments:
        path = argument.rpartition("=")[2].removeprefix("@")
        if any("\ud800" <= letter <= "\udfff" for letter in argument) and not os.path.exists(path):
            return ascii(os.fsencode(argument).decode(errors="backslashreplace"))
    return None


def _open_closed() -> None:
    """Open closed descriptors on /dev/null: otherwise the next file or connection would get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or ascii(letter)[1:-1] for letter in letters), error.end
