"""The moves of batches: jobs join them, are counted, and are cancelled or retried together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.server.calls import Call

from .arguments import as_ms
from .replies import read_answer, read_promoted

_pack = msgspec.msgpack.Encoder().encode


class Counted(NamedTuple):
    """How many ends of jobs were news to their batches, and ids of batches that do not exist any more."""

    news: int
    missing: list[str]


class Joined(NamedTuple):
    """Whether a batch takes jobs: OK, MISSING or SEALED; and the indexes of those that it has counted before."""

    answer: str
    known: list[int]


class BatchMoves:
    """The part of `Queue` that batches use. All but `probe` are moves in the queue of the batch."""

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        raise NotImplementedError

    def create_batch(self, batch_id: str, retention: float, fields: Mapping[str, str | bytes]) -> Call:
        """Create a batch (create_batch.lua). The reply is CREATED or EXISTS."""
        flat = [each for field in fields.items() for each in field]
        return self._call("create_batch", (batch_id, as_ms(retention), *flat), read_answer)

    def join_batch(self, batch_id: str, jobs: Iterable[tuple[str, str, str]]) -> Call:
        """Announce jobs, (id, queue, type), to their batch (join_batch.lua). The reply is a `Joined`."""
        return self._call("join_batch", (batch_id, _pack([each for job in jobs for each in job])), _read_joined)

    def leave_batch(self, batch_id: str, job_ids: Sequence[str]) -> Call:
        """Take jobs out of a batch that are not stored (leave_batch.lua). The reply is a count."""
        return self._call("leave_batch", (batch_id, *job_ids), int)

    def seal_batch(self, batch_id: str) -> Call:
        """Seal a batch (seal_batch.lua). The reply is SEALED, ALREADY or MISSING."""
        return self._call("seal_batch", (batch_id,), read_answer)

    def count_jobs(self, ends: Iterable[tuple[str, str, str, int, str]]) -> Call:
        """Count ends of jobs: (batch, job, state, round, queue) (count_jobs.lua). The reply is a `Counted`."""
        return self._call("count_jobs", (_pack([each for end in ends for each in end]),), _read_counted)

    def walk_batch(self, batch_id: str, walk: str) -> Call:
        """Begin to cancel or redrive the jobs of a batch (walk_batch.lua). The reply is STARTED, MISSING or BUSY."""
        return self._call("walk_batch", (batch_id, walk), read_answer)

    def continue_batches(self, limit: int = 500) -> Call:
        """Continue what is done to all jobs of batches (continue_batches.lua). The reply is a `Promoted`."""
        return self._call("continue_batches", (limit,), read_promoted)

    def probe(self, queue: str, batch_id: str, job_ids: Sequence[str]) -> Call:
        """Tell the batch of another queue which of these jobs have ended (probe.lua). The reply is a count."""
        return self._call("probe", (queue, batch_id, *job_ids), int)


def _read_joined(reply: list[Any]) -> Joined:
    return Joined(reply[0].decode(), [int(each) - 1 for each in reply[1:]])


def _read_counted(reply: list[Any]) -> Counted:
    return Counted(int(reply[0]), [each.decode() for each in reply[1:]])
