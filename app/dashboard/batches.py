"""/dashboard/batches: jobs that are counted together; seal, cancel or retry a batch."""

from flask import Response
from gopher.app import batches as api_batches
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from .acts import act
from .frame import address, blueprint, done, filters, page

#: Rows per page.
ROWS = 50


@blueprint.get("/batches")
def batches() -> Response:
    asked = filters("cursor", "status", "queue")
    found = gopher().batches.page(limit=ROWS, **asked)
    return page(
        "batches.html",
        # Only the first page refreshes itself.
        polls="cursor" not in asked,
        batches=found.batches,
        older=address(asked, found.next_cursor) if found.next_cursor else None,
        newest=address(asked, None) if "cursor" in asked else None,
    )


@blueprint.get("/batches/<batch_id>")
def batch(batch_id: str) -> Response:
    asked = filters("cursor", "status")
    view = gopher().batches.get(batch_id)
    found = gopher().batches.jobs(batch_id, status=asked.get("status"), limit=ROWS, cursor=asked.get("cursor"))
    return page(
        "batch.html",
        polls="cursor" not in asked,
        batch=view,
        jobs=found.jobs,
        status_filter=asked.get("status"),
        older=address(asked, found.next_cursor) if found.next_cursor else None,
        newest=address(asked, None) if "cursor" in asked else None,
    )


@blueprint.post("/batches/<batch_id>/seal")
def seal_batch(batch_id: str) -> BaseResponse:
    act(api_batches.seal, batch_id=batch_id)
    return done(f"Batch {batch_id} sealed.")


@blueprint.post("/batches/<batch_id>/cancel")
def cancel_batch(batch_id: str) -> BaseResponse:
    act(api_batches.cancel, batch_id=batch_id)
    return done(f"Batch {batch_id} is being cancelled.")


@blueprint.post("/batches/<batch_id>/retry")
def retry_batch(batch_id: str) -> BaseResponse:
    act(api_batches.retry, batch_id=batch_id)
    return done(f"The failed jobs of batch {batch_id} are being retried.")
