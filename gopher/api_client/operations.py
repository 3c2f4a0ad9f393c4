"""Operations over the HTTP API, performed as the interface declares them; what differs there is written out."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from gopher.errors import ApiTooOld, ScheduleNotFound
from gopher.hooks import holding
from gopher.interface import (
    BatchesInterface,
    DeadLettersInterface,
    FleetInterface,
    FlowInterface,
    KeysInterface,
    SchedulesInterface,
    WaitingInterface,
    WebhooksInterface,
)
from gopher.interface.operation import Operation, Operations, declaration_of, takes, without_none
from gopher.jobs.acting import Copied
from gopher.jobs.answers import LimitSet
from gopher.jobs.batch import BatchView, NewBatch
from gopher.jobs.fields import JobId
from gopher.jobs.filters import RetryAll
from gopher.jobs.limit import Limit, make_limit
from gopher.jobs.models import RedriveView, ScheduleView, StartedRedrive
from gopher.jobs.schedule import ABSENT, ANY, ScheduleSpec
from gopher.jobs.submission import to_json
from gopher.jobs.webhooks import WebhookRequest, WebhookView

from .decode import read, read_member, read_view
from .transport import Answer, Api, job_segment, segment

#: Where the release before serves gradual redrives, which it calls retries.
_RETRIES = "/api/v1/dlq/retries"
#: Maximum seconds that the API lets a request wait.
_LONGEST_WAIT = 20.0

_View = TypeVar("_View")


class OverHttp(Operations):
    """Performs the operations of a part of the interface by calls of an API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def _perform(self, declared: Operation, arguments: Mapping[str, Any]) -> Any:
        answer = send(self._api, declared, arguments)
        if declared.result is type(None):
            return None
        return read_member(declared.result, answer.body, declared.member)


def send(api: Api, declared: Operation, arguments: Mapping[str, Any], **more: Any) -> Answer:
    """Send what an operation takes to where it is served; `more` is for `Api.call`."""
    query = without_none(_made(declared.query, arguments)) if declared.query else None
    if declared.body is not None and "body" not in more:
        more["body"] = msgspec.json.encode(without_none(_said(declared.body, arguments)))
    if holding.holder is not None and declared.method != "GET":
        from .held import answer_held

        return answer_held(holding.holder, declared, arguments, more.get("body"))
    if arguments.get("if_version") is not None:
        more["headers"] = _condition(arguments["if_version"])
    return api.call(declared.method, path_of(declared, arguments), query=query, **more)


def _condition(if_version: str) -> dict[str, str]:
    """Return the header that makes a change conditional on a version."""
    if if_version == ABSENT:
        return {"If-None-Match": "*"}
    return {"If-Match": if_version if if_version == ANY else ", ".join(f'"{each}"' for each in if_version.split(","))}


def path_of(declared: Operation, arguments: Mapping[str, Any]) -> str:
    """Return where an operation is served, with its arguments. Raises InvalidJob or JobNotFound for what no name is."""
    path = declared.route
    for name, kind in declared.path.items():
        path = path.replace(f"<{name}>", (job_segment if kind == JobId else segment)(arguments[name]))
    return path


def _made(kind: type[msgspec.Struct], arguments: Mapping[str, Any]) -> msgspec.Struct:
    return kind(**{name: arguments[name] for name in kind.__struct_fields__ if name in arguments})


def _said(kind: type[msgspec.Struct], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ from their defaults: an API of an earlier version may not know the others."""
    made = _made(kind, arguments)
    values = {field.encode_name: (getattr(made, field.name), field.default) for field in msgspec.structs.fields(kind)}
    return {name: value for name, (value, default) in values.items() if value != default}


def wait_for(
    api: Api, path: str, kind: type[_View], has_ended: Callable[[_View], bool], timeout: float | None
) -> _View:
    """Return what a path shows once it has ended, or after `timeout` seconds."""
    until = float("inf") if timeout is None else time.monotonic() + timeout
    while True:
        left = min(max(until - time.monotonic(), 0.0), _LONGEST_WAIT)
        asked = time.monotonic()
        view = read(kind, api.get(path, {"wait": f"{left:.3f}"} if left else None, wait=left))
        if has_ended(view) or time.monotonic() >= until:
            return view
        if time.monotonic() - asked < left / 2:
            # The API had no free thread for another waiting request.
            time.sleep(min(1.0, left))


class HttpBatches(OverHttp, BatchesInterface):
    """The batches of an API."""

    def create(self, batch: NewBatch) -> BatchView:
        """Create a batch, and return it."""
        body = msgspec.json.encode(batch)
        return read(BatchView, send(self._api, declaration_of(BatchesInterface.create), {}, body=body).body)

    def wait(self, batch_id: str, timeout: float | None = None) -> BatchView:
        """Return a batch once all its jobs have ended, or after `timeout` seconds. Raises BatchNotFound."""
        path = path_of(declaration_of(BatchesInterface.get), {"batch_id": batch_id})
        return wait_for(self._api, path, BatchView, lambda view: view.has_ended, timeout)


class HttpDeadLetters(OverHttp, DeadLettersInterface):
    """The dead letters of an API."""

    def redrives(self) -> list[RedriveView]:
        """List gradual redrives, including those that ended within the last day; latest first."""
        try:
            return super().redrives()
        except ApiTooOld as error:
            rows = self._of_the_release_before("GET", _RETRIES, error)["retries"]
            return msgspec.convert([{"redrive_id": row.get("retry_id"), **row} for row in rows], list[RedriveView])

    def stop_redrive(self, redrive_id: str) -> bool:
        """Stop a gradual redrive; return whether it was still running. Jobs retried so far are left alone."""
        try:
            return super().stop_redrive(redrive_id)
        except ApiTooOld as error:
            path = f"{_RETRIES}/{segment(redrive_id)}/stop"
            return bool(self._of_the_release_before("POST", path, error)["stopped"])

    def _of_the_release_before(self, method: str, path: str, error: ApiTooOld) -> Any:
        """Return what an API of the release before answers; raise the error if that does not know it either."""
        try:
            return msgspec.json.decode(self._api.call(method, path).body)
        except ApiTooOld:
            raise error from None

    @takes(RetryAll)
    def retry_gradually(self, which: RetryAll) -> StartedRedrive:
        """Start a gradual redrive of the dead letters that match now; the scheduler continues it."""
        # 0 is no canary, which the API is told by leaving it out.
        asked = msgspec.structs.asdict(msgspec.structs.replace(which, canary=which.canary or None))
        body = msgspec.json.decode(send(self._api, declaration_of(DeadLettersInterface.retry_all), asked).body)
        return StartedRedrive(body.get("redrive_id") or body.get("retry_id", ""), body["count"])


class HttpFlow(OverHttp, FlowInterface):
    """Limits and pauses of an API."""

    def set_limit(
        self, job_type: str, rate: str | None, burst: float | None, concurrency: int | None, *, per_key: bool = False
    ) -> Limit:
        """Limit a type in every queue. Raises InvalidJob."""
        asked = {
            "job_type": job_type, "rate": rate, "burst": burst, "concurrency": concurrency, "per_key": per_key,
        }  # fmt: skip
        answer = read(LimitSet, send(self._api, declaration_of(FlowInterface.set_limit), asked).body)
        limit = make_limit(answer.rate, answer.burst, answer.concurrency, per_key=answer.per_key)
        assert limit is not None
        return limit


class HttpKeys(OverHttp, KeysInterface):
    """The API keys of an API."""


class HttpFleet(OverHttp, FleetInterface):
    """The workers of an API."""


class HttpWaiting(OverHttp, WaitingInterface):
    """The waiting jobs of an API."""

    def copy(self, job_id: JobId, payload: object = None, queue: str | None = None, priority: str | None = None) -> str:
        """Submit a copy of a job in any state, optionally with another payload; return the id of the copy."""
        asked = {
            "job_id": job_id,
            "payload": msgspec.Raw(b"null" if payload is None else to_json(payload, "/payload")),
            "queue": queue,
            "priority": priority,
        }
        answer = send(self._api, declaration_of(WaitingInterface.copy), asked)
        return read(Copied, answer.body).job_id


class HttpWebhooks(OverHttp, WebhooksInterface):
    """The webhooks of an API."""

    def replace(self, webhook_id: str, definition: WebhookRequest) -> WebhookView:
        """Replace URL and filters of a webhook. Raises WebhookNotFound, InvalidJob."""
        declared = declaration_of(WebhooksInterface.replace)
        body = msgspec.json.encode(definition)
        return read_view(WebhookView, send(self._api, declared, {"webhook_id": webhook_id}, body=body).body)


class HttpSchedules(OverHttp, SchedulesInterface):
    """The schedules of an API."""

    def put(self, name: str, spec: ScheduleSpec, if_version: str | None = None) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED."""
        try:
            before = self.get(name)
        except ScheduleNotFound:
            before = None
        every = {field: getattr(spec, field) for field in spec.__struct_fields__ if field != "origin"}
        fields = {field: value for field, value in every.items() if value is not UNSET}
        declared = declaration_of(SchedulesInterface.put)
        arguments = {"name": name, "if_version": if_version}
        view = read_view(ScheduleView, send(self._api, declared, arguments, body=msgspec.json.encode(fields)).body)
        if before is None:
            return view, "CREATED"
        return view, "UNCHANGED" if _definition(before) == _definition(view) else "REPLACED"


def _definition(view: ScheduleView) -> list[Any]:
    """Return the definition of a schedule, without its state."""
    changing = ("next_run_at", "last_job_id", "version")
    values = [getattr(view, field) for field in view.__struct_fields__ if field not in changing]
    return [bytes(value) if isinstance(value, msgspec.Raw) else value for value in values]
