"""Actions on jobs that wait: run, move, copy, and cancel all that match a filter."""

from flask import Blueprint, Response

from gopher.base.names import canonical_id
from gopher.interface import WaitingInterface
from gopher.jobs.acting import CancelFilter, Copied, Copy, Move
from gopher.jobs.fields import JobId
from gopher.jobs.submission import NULL

from . import access, scopes
from .answers import answer
from .base_path import own_url
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("waiting", __name__)

run = serve(blueprint, WaitingInterface.run)
cancellations = serve(blueprint, WaitingInterface.cancellations)
stop_cancellation = serve(blueprint, WaitingInterface.stop_cancellation)


@serves(blueprint, WaitingInterface.move)
def move(job_id: JobId, sent: Move) -> Response:
    scopes.check_queue(sent.queue)
    return answer(gopher().waiting.move(job_id, sent.queue, sent.priority))


@serves(blueprint, WaitingInterface.copy)
def copy(job_id: JobId, sent: Copy) -> Response:
    scopes.check_queue(sent.queue)
    payload = None if bytes(sent.payload) == bytes(NULL) else sent.payload
    made = gopher().waiting.copy(job_id, payload, sent.queue, sent.priority, access.job_types())
    return answer(Copied(made, canonical_id(job_id)), 201, {"Location": own_url(f"/api/v1/jobs/{made}")})


@serves(blueprint, WaitingInterface.cancel_matching)
def cancel_matching(sent: CancelFilter) -> Response:
    filters = {name: getattr(sent, name) for name in sent.__struct_fields__}
    return answer(gopher().waiting.cancel_matching(**filters), 202)
