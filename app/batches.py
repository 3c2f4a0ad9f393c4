"""/api/v1/batches: jobs in any queues that are counted together."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response

from gopher.interface import BatchesInterface
from gopher.jobs.batch import BatchView, NewBatch
from gopher.jobs.fields import BatchId, Checked

from . import access, scopes
from .answers import answer
from .base_path import own_url
from .capacity import LONGEST_WAIT
from .context import context, gopher
from .serving import serve, serves

blueprint = Blueprint("batches", __name__)

_Wait = Annotated[
    float,
    msgspec.Meta(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the batch to end.", examples=[20]),
]


class Waiting(Checked):
    """Options for showing a batch."""

    wait: _Wait | None = None


@serves(blueprint, BatchesInterface.create)
def create(sent: NewBatch) -> Response:
    scopes.require_none()
    view = gopher().batches.create(sent, submitter=access.submitter(), types=access.job_types())
    return answer(view, 201, {"Location": own_url(f"/api/v1/batches/{view.batch_id}")})


page = serve(blueprint, BatchesInterface.page)
jobs = serve(blueprint, BatchesInterface.jobs)
seal = serve(blueprint, BatchesInterface.seal)


@serves(blueprint, BatchesInterface.get, query=Waiting)
def show(batch_id: BatchId, asked: Waiting) -> Response:
    """Show a batch and its progress; with `wait`, once all its jobs have ended or the time is over."""
    if not asked.wait:
        return answer(gopher().batches.get(batch_id))
    with context().permit_to_wait() as permitted:
        return answer(gopher().batches.wait(batch_id, asked.wait if permitted else 0))


@serves(blueprint, BatchesInterface.cancel)
def cancel(batch_id: BatchId) -> Response:
    return _accepted(gopher().batches.cancel(batch_id))


@serves(blueprint, BatchesInterface.retry)
def retry(batch_id: BatchId) -> Response:
    return _accepted(gopher().batches.retry(batch_id))


def _accepted(view: BatchView) -> Response:
    # The scheduler does it.
    return answer(view, 202)
