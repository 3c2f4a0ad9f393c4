"""Reads JSON that is given as the value of an option, or as a file."""

import sys
from pathlib import Path

import click
import msgspec

#: Bytes that are read of a file or of standard input: far more than is accepted (GOPHER_PAYLOAD_MAX).
_LONGEST_JSON = 2**26


def read_json(text: str, option: str) -> bytes:
    """Return the bytes of an option's value, or of the file that it names."""
    read = _bytes_of(text, option)
    try:
        # Only whether it is JSON, and one value: over HTTP it becomes a part of the body as it is.
        msgspec.json.decode(read, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        remedy = "" if text == "-" or text.startswith("@") else " In a shell, put JSON in single quotes."
        raise click.UsageError(f"{option}: {error}.{remedy}") from None
    return read


def _bytes_of(text: str, option: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read(_LONGEST_JSON)
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with Path(text[1:]).open("rb") as file:
            return file.read(_LONGEST_JSON)
    except OSError as error:
        raise click.UsageError(f"{option}: can't read {text[1:]}: {error.strerror}.") from None
