"""Where values of the protocol RESP2 begin and end in a stream: commands, which are arrays of strings, and replies."""


class Splitter:
    """Cuts a stream into whole values."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take more of the stream; return the values that are whole now, each with all of its bytes."""
        self._buffer += data
        values, start = [], 0
        while (end := end_of_value(self._buffer, start)) is not None:
            values.append(self._buffer[start:end])
            start = end
        self._buffer = self._buffer[start:]
        return values


def end_of_value(data: bytes, start: int) -> int | None:
    """Return where the value that begins at `start` ends; None when it is not whole yet."""
    missing, at = 1, start
    while missing:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        kind, head = data[at : at + 1], data[at + 1 : line_end]
        at = line_end + 2
        missing -= 1
        if kind == b"*":
            missing += max(int(head), 0)
        elif kind == b"$":
            at += int(head) + 2 if int(head) >= 0 else 0
        elif kind not in b"+-:":
            raise ValueError(f"not RESP2: {data[start : start + 40]!r}")
    return at if at <= len(data) else None


def words(command: bytes) -> list[bytes]:
    """Return the strings of a command."""
    found, at = [], command.index(b"\r\n") + 2
    while at < len(command):
        line_end = command.index(b"\r\n", at)
        size = int(command[at + 1 : line_end])
        found.append(command[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
    return found
