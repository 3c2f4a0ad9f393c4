"""Operations over the HTTP API, performed as the interface declares them; what differs there is written out."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gopher.errors import ScheduleNotFound
from gopher.interface import DeadLettersInterface, FlowInterface, SchedulesInterface
from gopher.interface.operation import Operation, Operations, declaration_of, takes, without_none
from gopher.jobs.answers import LimitSet
from gopher.jobs.fields import JobId
from gopher.jobs.filters import RetryAll
from gopher.jobs.limit import Limit, make_limit
from gopher.jobs.models import ScheduleView, StartedRedrive
from gopher.jobs.schedule import ScheduleSpec

from .decode import read, read_member, read_view
from .transport import Answer, Api, job_segment, segment


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
        more["body"] = msgspec.json.encode(without_none(_made(declared.body, arguments)))
    return api.call(declared.method, path_of(declared, arguments), query=query, **more)


def path_of(declared: Operation, arguments: Mapping[str, Any]) -> str:
    """Return where an operation is served, with its arguments. Raises InvalidJob or JobNotFound for what no name is."""
    path = declared.route
    for name, kind in declared.path.items():
        path = path.replace(f"<{name}>", (job_segment if kind == JobId else segment)(arguments[name]))
    return path


def _made(kind: type[msgspec.Struct], arguments: Mapping[str, Any]) -> msgspec.Struct:
    return kind(**{name: arguments[name] for name in kind.__struct_fields__ if name in arguments})


class HttpDeadLetters(OverHttp, DeadLettersInterface):
    """The dead letters of an API."""

    @takes(RetryAll)
    def retry_gradually(self, which: RetryAll) -> StartedRedrive:
        """Start a gradual redrive of the dead letters that match now; the scheduler continues it."""
        # 0 is no canary, which the API is told by leaving it out.
        asked = msgspec.structs.asdict(msgspec.structs.replace(which, canary=which.canary or None))
        body = msgspec.json.decode(send(self._api, declaration_of(DeadLettersInterface.retry_all), asked).body)
        return StartedRedrive(body.get("redrive_id", ""), body["count"])


class HttpFlow(OverHttp, FlowInterface):
    """Limits and pauses of an API."""

    def set_limit(self, job_type: str, rate: str | None, burst: float | None, concurrency: int | None) -> Limit:
        """Limit a type in every queue. Raises InvalidJob."""
        asked = {"job_type": job_type, "rate": rate, "burst": burst, "concurrency": concurrency}
        answer = read(LimitSet, send(self._api, declaration_of(FlowInterface.set_limit), asked).body)
        limit = make_limit(answer.rate, answer.burst, answer.concurrency)
        assert limit is not None
        return limit


class HttpSchedules(OverHttp, SchedulesInterface):
    """The schedules of an API."""

    def put(self, name: str, spec: ScheduleSpec) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED."""
        try:
            before = self.get(name)
        except ScheduleNotFound:
            before = None
        fields = {field: getattr(spec, field) for field in spec.__struct_fields__ if field != "origin"}
        declared = declaration_of(SchedulesInterface.put)
        view = read_view(ScheduleView, send(self._api, declared, {"name": name}, body=msgspec.json.encode(fields)).body)
        if before is None:
            return view, "CREATED"
        return view, "UNCHANGED" if _definition(before) == _definition(view) else "REPLACED"


def _definition(view: ScheduleView) -> list[Any]:
    """Return the definition of a schedule, without its state."""
    changing = ("next_run_at", "last_job_id")
    values = [getattr(view, field) for field in view.__struct_fields__ if field not in changing]
    return [bytes(value) if isinstance(value, msgspec.Raw) else value for value in values]
