"""The moves of many jobs in small steps: redrives of dead letters, and cancellations by a filter."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gopher.server.calls import Call

from .arguments import as_number
from .replies import read_answer, read_promoted

_pack = msgspec.msgpack.Encoder().encode


class GradualMoves:
    """The part of `Queue` that the scheduler continues."""

    _retention: int

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        raise NotImplementedError

    def redrive(self, job_ids: Sequence[str]) -> Call:
        """Move dead letters from failed to pending, with a new set of attempts (redrive.lua). The reply is a count."""
        return self._call("redrive", job_ids, int)

    def start_redrive(
        self,
        redrive_id: str,
        groups: Sequence[str],
        *,
        canary: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        asked: bytes = b"{}",
        tenant: str = "",
    ) -> Call:
        """Start a gradual redrive of dead letters, of some groups or all, and of a tenant or all (start_redrive.lua).

        `canary` jobs are retried first, the rest once those have completed, `rate` per second. The reply is the total.
        """
        arguments = (redrive_id, ",".join(groups), canary, as_number(rate), as_number(limit), asked, tenant)
        return self._call("start_redrive", arguments, int)

    def continue_redrives(self, limit: int = 100) -> Call:
        """Continue gradual redrives (continue_redrives.lua). The reply is a `Promoted`."""
        return self._call("continue_redrives", (limit, self._retention), read_promoted)

    def stop_redrive(self, redrive_id: str) -> Call:
        """Stop a gradual redrive (stop_redrive.lua). The reply is STOPPED, MISSING or how it had ended."""
        return self._call("stop_redrive", (redrive_id,), read_answer)

    def start_cancellation(
        self,
        cancellation_id: str,
        states: Sequence[str],
        job_type: str = "",
        before: int | None = None,
        fields: Sequence[str] = (),
        tenant: str = "",
        *,
        dry_run: bool = False,
        asked: bytes = b"{}",
    ) -> Call:
        """Start to cancel all jobs that match a filter (start_cancellation.lua). The reply is how many to look at.

        `fields` of the envelope are JSON, such as `"owner":"shop"`. With `dry_run` the jobs are only counted.
        """
        conditions = _pack([job_type, "" if before is None else str(before), list(fields), tenant])
        arguments = (cancellation_id, ",".join(states), "1" if dry_run else "", asked, conditions)
        return self._call("start_cancellation", arguments, int)

    def continue_cancellations(self, work: int = 400) -> Call:
        """Continue cancellations: look at about `work` jobs (continue_cancellations.lua). The reply is a `Promoted`."""
        return self._call("continue_cancellations", (work, self._retention), read_promoted)

    def stop_cancellation(self, cancellation_id: str) -> Call:
        """Stop a cancellation (stop_cancellation.lua). The reply is STOPPED, MISSING or how it had ended."""
        return self._call("stop_cancellation", (cancellation_id,), read_answer)
