"""The scripts that only read, for lists and figures."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gopher.server.calls import Call

from .replies import read_groups, read_lengths


class Text(NamedTuple):
    """A text that is searched in a field of records; `folded`: a lower-case one, whatever the case there."""

    field: str
    text: str
    folded: bool = False


class ReadingMoves:
    """The part of `Queue` that changes nothing."""

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        raise NotImplementedError

    def read_fields(self, job_ids: Sequence[str], fields: Sequence[str]) -> Call:
        """Read fields of records (read_fields.lua). The reply is a list with the values, or None, for each."""
        size = len(fields)

        def rows(values: list[bytes | None]) -> list[list[bytes | None]]:
            return [values[at : at + size] for at in range(0, len(values), size)]

        return self._call("read_fields", (size, *fields, *job_ids), rows)

    def find_texts(self, job_ids: Sequence[str], texts: Sequence[Text]) -> Call:
        """Find the records whose fields contain all texts (find_texts.lua). The reply is a list of bools."""
        told = [word for field, text, folded in texts for word in (field, text, "1" if folded else "")]
        return self._call("find_texts", (len(texts), *told, *job_ids), lambda found: list(map(bool, found)))

    def bisect(self, place: str, time: int) -> Call:
        """Find the first job in a pending list that has waited since `time` (ms) or longer (bisect.lua). An index."""
        return self._call("bisect", (place, time), int)

    def read_groups(self, limit: int) -> Call:
        """Read the groups of dead letters (read_groups.lua). The reply is a list of `GroupRow`."""
        return self._call("read_groups", (limit,), read_groups)

    def tenant_lengths(self, priority: str, where: range | Sequence[str]) -> Call:
        """Count the waiting jobs of tenants of a priority (tenant_lengths.lua).

        They are given by their names, or by their places in turn, of which the first is 0. The reply is a dict, "" for
        jobs without a tenant.
        """
        if isinstance(where, range):
            return self._call("tenant_lengths", (priority, -where.stop, -where.start - 1), read_lengths)
        return self._call("tenant_lengths", (priority, "", "", *where), read_lengths)
