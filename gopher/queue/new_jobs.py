"""The move that stores new jobs. Programs that only submit jobs need no other one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gopher.jobs.job import NewJob
from gopher.server.calls import Call, written

from .arguments import Request, special
from .enqueued import read_one_enqueued, reader_of_enqueued
from .keys import QueueKeys
from .scripts import script

if TYPE_CHECKING:
    from .bounds import Bounds

NO_REQUEST = Request("", "", "")
#: Milliseconds for which a request with an idempotency key is stored.
_REPEATABLE_FOR = str(24 * 3600 * 1000)


class NewJobs:
    """The part of `Queue` that stores new jobs."""

    def __init__(self, keys: QueueKeys) -> None:
        self.keys = keys
        self.name = keys.queue

    def enqueue(self, jobs: Sequence[NewJob], request: Request = NO_REQUEST, bounds: "Bounds | None" = None) -> Call:
        """Store new jobs in pending, or in scheduled if they are not due (enqueue.lua).

        All or none are stored, unless `bounds` say otherwise. The reply is an `Enqueued`.
        """
        if len(jobs) == 1 and jobs[0].is_plain and request is NO_REQUEST and bounds is None:
            job = jobs[0]
            tenant = (job.tenant,) if job.tenant else ()
            return self._make("enqueue", (job.id, job.type, job.priority, job.envelope, *tenant), read_one_enqueued)
        values: list[str] = []
        options: list[int | str] = []
        for number, job in enumerate(jobs, 1):
            values += (job.id, job.type, job.priority, job.tenant)
            if not job.is_plain:
                options += (number, special(job))
        packed = (_pack(values), _pack(options) if options else "")
        arguments = (*request, _REPEATABLE_FOR, *packed, *[job.envelope for job in jobs], *(bounds or ()))
        return self._make("enqueue", arguments, reader_of_enqueued(len(jobs)))

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        return self._make(verb, [written(argument) for argument in arguments], read)

    def _make(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        return Call(script(verb), self.keys.prefix, tuple(arguments), read)


_pack = msgspec.msgpack.Encoder().encode
