"""Decides which jobs a list shows: by the id alone, by texts that the server finds in a record, then by its fields.

Each step looks only at the jobs that the one before has left, so that a filter that few jobs match reads few records.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from gopher.base.durations import EXPECTED as EXPECTED_DURATION
from gopher.base.durations import parse_duration
from gopher.base.salvage import UNREADABLE, Salvage, order, text
from gopher.base.times import EXPECTED as EXPECTED_TIME
from gopher.base.times import from_rfc3339
from gopher.errors import InvalidJob
from gopher.jobs.filters import DeadFilter
from gopher.jobs.job import created_ms, has_time
from gopher.jobs.lists import JobFilter
from gopher.queue.reading_moves import Text

from .groups import matches

#: Milliseconds by which the clock of a client, which is in the ids of its jobs, may be ahead of the server's.
_AHEAD = 60_000
#: What every encoder writes as it is, and what has a lower case in ASCII.
_SIMPLE = re.compile(r"[A-Za-z0-9 ]+")


class _Tagged(msgspec.Struct):
    """What an envelope says of its job besides the payload."""

    tags: tuple[str, ...] = ()
    tenant: str = ""


_TAGGED = msgspec.json.Decoder(_Tagged)
_ERROR = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True)
class Criteria:
    """What the jobs of a list have in common. Times are Unix milliseconds."""

    status: str | None
    which: DeadFilter
    tag: str | None = None
    tenant: str | None = None
    #: A part of the last error, in any case.
    error: str | None = None
    created_after: float = float("-inf")
    created_before: float = float("inf")

    @classmethod
    def of_jobs(cls, asked: JobFilter, now: Callable[[], int]) -> "Criteria":
        """Return those of a filter of jobs. `now` returns the server's clock. Raises InvalidJob."""
        return cls(
            asked.status,
            DeadFilter(asked.job_type, queue=asked.queue),
            asked.tag,
            asked.tenant,
            asked.error or None,
            moment_of(asked.created_after, "/created_after", now, float("-inf")),
            moment_of(asked.created_before, "/created_before", now, float("inf")),
        )

    @property
    def has_ids(self) -> bool:
        """Whether some jobs are omitted because of their ids alone."""
        return self.created_after > float("-inf") or self.created_before < float("inf")

    @property
    def is_selective(self) -> bool:
        """Whether records have to be read that are not shown."""
        return self.which != DeadFilter(queue=self.which.queue) or bool(self.texts)

    @property
    def earliest(self) -> float:
        """Return when the first of the jobs may have changed: none has before it was created."""
        return self.created_after - _AHEAD

    def admits(self, job_id: str) -> bool:
        """Return whether a job was created in the time that is meant, or its id does not tell."""
        return not (self.has_ids and has_time(job_id)) or self._is_in_time(created(job_id))

    def _is_in_time(self, when: int) -> bool:
        return self.created_after < when < self.created_before

    @property
    def fields(self) -> list[str]:
        """Return the fields of a record that are read of each job."""
        return ["state", "type", "created", *(["error"] if self.which.error is not None else [])]

    def means(self, job_type: bytes | None, made: bytes | None, error: Sequence[bytes | None]) -> bool:
        """Return whether the values of the fields after `state` match. An id that was chosen does not tell when its job
        was created, so its record does."""
        if made is not None and self.has_ids and not self._is_in_time(order(made)):
            return False
        # The tenant is confirmed by the envelope.
        known = {"job_type": text(job_type or b""), "error": error_class(error[0]) if error else None}
        return matches(self.which, known, elsewhere=("tenant",))

    @property
    def texts(self) -> list[Text]:
        """Return what is in the records of all jobs that match, and perhaps of others."""
        return list(self._texts())

    def _texts(self) -> Iterator[Text]:
        if self.tag is not None:
            yield Text("envelope", msgspec.json.encode(self.tag).decode())
        if self.tenant is not None:
            yield Text("envelope", f'"tenant":{msgspec.json.encode(self.tenant).decode()}')
        if self.error is not None:
            # In a record no blank is between the class and the message. Other letters may have a lower case of ASCII.
            longest = max((run.strip() for run in _SIMPLE.findall(self.error)), key=len, default="")
            yield Text("error", longest.lower(), folded=True)

    @property
    def searched(self) -> list[str]:
        """Return the fields that show whether a text that was found is where it has to be."""
        return list(dict.fromkeys(each.field for each in self._texts()))

    def confirms(self, values: Sequence[bytes | None]) -> bool:
        """Return whether a job matches by the values of the fields in `searched`."""
        found = dict(zip(self.searched, values, strict=True))
        if self.error is not None and self.error.lower() not in _error_text(found["error"]).lower():
            return False
        if self.tag is None and self.tenant is None:
            return True
        tagged = Salvage().read("payload", partial(_TAGGED.decode, found["envelope"] or b""), _Tagged())
        return self.tag in (None, *tagged.tags) and self.tenant in (None, tagged.tenant)


def created(job_id: str) -> int:
    """Return when a job was created (Unix ms), by its id; 0 for one that does not tell."""
    try:
        return created_ms(job_id)
    except UNREADABLE:
        return 0


def error_class(error: bytes | None) -> str | None:
    """Return the error class in a record, None if there is none."""
    return Salvage().read("error", lambda: _ERROR.decode(error).get("type"), None) if error else None


def _error_text(error: bytes | None) -> str:
    """Return `ValueError: it broke` of the error in a record, "" if there is none."""
    found = Salvage().read("error", lambda: _ERROR.decode(error or b"{}"), {})
    return f"{found.get('type', '')}: {found.get('message', '')}" if found else ""


def moment_of(value: str | None, field: str, now: Callable[[], int], default: float) -> float:
    """Return a time in Unix ms that is given as such, or as the duration since then."""
    if value is None:
        return default
    try:
        return from_rfc3339(value)
    except ValueError:
        pass
    try:
        seconds = parse_duration(value)
    except ValueError:
        expected = f"{EXPECTED_TIME}; or, for that long ago, {EXPECTED_DURATION}"
        raise InvalidJob(f"is {value!r:.60}: expected {expected}", field) from None
    return now() - seconds * 1000
