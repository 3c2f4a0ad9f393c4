"""Reads JSON that is given as the value of an option, or as a file."""

import sys
from pathlib import Path

import click

#: Bytes that are read of a file or of standard input: far more than is accepted (GOPHER_PAYLOAD_MAX).
_LONGEST_JSON = 2**26


def read_json(text: str, option: str) -> bytes:
    """Return the bytes of an option's value, or of the file that it names."""
    if text == "-":
        return sys.stdin.buffer.read(_LONGEST_JSON)
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with Path(text[1:]).open("rb") as file:
            return file.read(_LONGEST_JSON)
    except OSError as error:
        raise click.UsageError(f"{option}: can't read {text[1:]}: {error.strerror}.") from None
