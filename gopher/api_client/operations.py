"""Dead letters, flow and schedules over the HTTP API, with the methods that they have beside a `Client`."""

from typing import Any

import msgspec

from gopher.admin.redrives import StartedRetry
from gopher.errors import InvalidJob, ScheduleNotFound
from gopher.jobs.limit import Limit, make_limit
from gopher.jobs.models import DeadLetterPage, GroupPage, LimitView, PreviewRow, RetryView, ScheduleView
from gopher.jobs.schedule import ScheduleSpec

from .decode import read_view
from .transport import Api, job_segment, segment

_DLQ, _SCHEDULES = "/api/v1/dlq", "/api/v1/schedules"


class HttpDeadLetters:
    """Looks at dead letters, gives them another chance, or deletes them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def page(
        self,
        *,
        job_type: str | None = None,
        error: str | None = None,
        group: str | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeadLetterPage:
        """Return a page of dead letters, newest first, and how many fit the filters in all."""
        query = {"type": job_type, "error": error, "group": group, "queue": queue, "limit": limit, "cursor": cursor}
        return read_view(DeadLetterPage, self._api.get(_DLQ, query))

    def groups(self, queue: str | None = None, limit: int = 100) -> GroupPage:
        """Return the `limit` largest groups."""
        return read_view(GroupPage, self._api.get(f"{_DLQ}/groups", {"queue": queue, "limit": limit}))

    def count(
        self,
        job_type: str | None = None,
        error: str | None = None,
        group: str | None = None,
        queue: str | None = None,
    ) -> int:
        """Return how many dead letters fit."""
        return self.page(job_type=job_type, error=error, group=group, queue=queue, limit=1).total_count

    def retry(self, job_id: str) -> None:
        """Let a dead job start afresh. Raises JobNotFound, JobConflict."""
        self._api.call("POST", f"{_DLQ}/{job_segment(job_id)}/retry")

    def retry_all(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
    ) -> int:
        """Retry the dead letters that fit, the oldest first, `limit` at most; return how many."""
        which = {"type": job_type, "error": error, "limit": limit, "queue": queue, "group": group}
        return self._retry(which).total

    def retry_gradually(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
        *,
        canary: int = 0,
        rate: str | None = None,
    ) -> StartedRetry:
        """Begin to retry the dead letters that fit now, `canary` of each queue first; the scheduler goes on with it."""
        which = {"type": job_type, "error": error, "limit": limit, "queue": queue, "group": group}
        return self._retry({**which, "canary": canary or None, "rate": rate})

    def retries(self) -> list[RetryView]:
        """Return what is being retried by and by, and for a day what was, the latest first."""
        return msgspec.convert(msgspec.json.decode(self._api.get(f"{_DLQ}/retries"))["retries"], list[RetryView])

    def stop_retry(self, retry_id: str) -> bool:
        """Retry no more of them; return whether it was still under way. Raises RetryNotFound."""
        answer = self._api.call("POST", f"{_DLQ}/retries/{segment(retry_id)}/stop")
        return bool(msgspec.json.decode(answer.body)["stopped"])

    def discard(self, job_id: str) -> None:
        """Delete a dead letter for good. Raises JobNotFound, JobConflict."""
        self._api.call("DELETE", f"{_DLQ}/{job_segment(job_id)}")

    def discard_all(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
    ) -> int:
        """Delete the dead letters that fit; return how many. The API knows no `limit` here."""
        if limit is not None:
            raise InvalidJob("can't be given over HTTP: leave it out", "/limit")
        query = {"type": job_type, "error": error, "queue": queue, "group": group}
        return int(msgspec.json.decode(self._api.call("DELETE", _DLQ, query=query).body)["count"])

    def _retry(self, which: dict[str, Any]) -> StartedRetry:
        answer = msgspec.json.decode(self._api.call("POST", f"{_DLQ}/retry-all", body=_said(which)).body)
        return StartedRetry(answer.get("retry_id", ""), answer["count"])


class HttpFlow:
    """Limits and pauses."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def limits(self) -> list[LimitView]:
        """Return the types that are limited, paused or held back, by queue and type."""
        return msgspec.convert(msgspec.json.decode(self._api.get("/api/v1/limits"))["limits"], list[LimitView])

    def set_limit(self, job_type: str, rate: str | None, burst: float | None, concurrency: int | None) -> Limit:
        """Limit a type in every queue. Raises InvalidJob."""
        asked = _said({"rate": rate, "burst": burst, "concurrency": concurrency})
        answer = msgspec.json.decode(self._api.call("PUT", f"/api/v1/limits/{segment(job_type)}", body=asked).body)
        limit = make_limit(answer["rate"], answer["burst"], answer["concurrency"])
        assert limit is not None
        return limit

    def clear_limit(self, job_type: str) -> bool:
        """Take an operator's limit away; returns whether the type was limited."""
        return self._told("DELETE", f"limits/{segment(job_type)}", "cleared")

    def pause_queue(self, queue: str) -> bool:
        """Stop giving out a queue's jobs; returns whether that is new."""
        return self._told("POST", f"queues/{segment(queue)}/pause", "changed")

    def resume_queue(self, queue: str) -> bool:
        return self._told("POST", f"queues/{segment(queue)}/resume", "changed")

    def pause_type(self, job_type: str) -> bool:
        """Stop giving out a type's jobs in every queue; returns whether that is new."""
        return self._told("POST", f"types/{segment(job_type)}/pause", "changed")

    def resume_type(self, job_type: str) -> bool:
        return self._told("POST", f"types/{segment(job_type)}/resume", "changed")

    def _told(self, method: str, path: str, member: str) -> bool:
        return bool(msgspec.json.decode(self._api.call(method, f"/api/v1/{path}").body)[member])


class HttpSchedules:
    """The schedules of an installation."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def put(self, name: str, spec: ScheduleSpec) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED."""
        try:
            before = self.get(name)
        except ScheduleNotFound:
            before = None
        fields = {field: getattr(spec, field) for field in spec.__struct_fields__ if field != "origin"}
        answer = self._api.call("PUT", f"{_SCHEDULES}/{segment(name)}", body=msgspec.json.encode(fields))
        view = read_view(ScheduleView, answer.body)
        if before is None:
            return view, "CREATED"
        return view, "UNCHANGED" if _definition(before) == _definition(view) else "REPLACED"

    def get(self, name: str) -> ScheduleView:
        """Return a schedule. Raises ScheduleNotFound."""
        return read_view(ScheduleView, self._api.get(f"{_SCHEDULES}/{segment(name)}"))

    def all(self) -> list[ScheduleView]:
        """Return all schedules by name."""
        found = msgspec.json.decode(self._api.get(_SCHEDULES), type=dict[str, list[msgspec.Raw]])["schedules"]
        return [read_view(ScheduleView, each) for each in found]

    def delete(self, name: str) -> None:
        """Forget a schedule; jobs that it has made go on. Raises ScheduleNotFound."""
        self._api.call("DELETE", f"{_SCHEDULES}/{segment(name)}")

    def pause(self, name: str) -> ScheduleView:
        return read_view(ScheduleView, self._api.call("POST", f"{_SCHEDULES}/{segment(name)}/pause").body)

    def resume(self, name: str) -> ScheduleView:
        """Let a paused schedule fire again, from its next time on."""
        return read_view(ScheduleView, self._api.call("POST", f"{_SCHEDULES}/{segment(name)}/resume").body)

    def preview(self, name: str, count: int) -> list[PreviewRow]:
        """Return the next times of a schedule, paused or not. Raises ScheduleNotFound, InvalidJob."""
        body = self._api.get(f"{_SCHEDULES}/{segment(name)}/preview", {"n": count})
        return msgspec.convert(msgspec.json.decode(body)["times"], list[PreviewRow])


def _definition(view: ScheduleView) -> list[Any]:
    """Return what a schedule is, without what becomes of it."""
    changing = ("next_run_at", "last_job_id")
    values = [getattr(view, field) for field in view.__struct_fields__ if field not in changing]
    return [bytes(value) if isinstance(value, msgspec.Raw) else value for value in values]


def _said(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
