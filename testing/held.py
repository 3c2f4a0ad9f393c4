"""Takes note of what a handler would submit, in place of a server."""

import time
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from gopher.base.times import to_rfc3339
from gopher.errors import GopherError
from gopher.files.names import content_type_of, new_file_id, shown_name
from gopher.jobs.batch import BatchView, NewBatch
from gopher.jobs.files import Upload
from gopher.jobs.job import NewJob, decode_envelope, new_job_id


class HeldBack(GopherError):
    """Raised in a replay for a change that is not made, and whose result the handler would need."""


class HeldJob(msgspec.Struct):
    """A job that the handler would have enqueued."""

    job_id: str
    type: str
    payload: msgspec.Raw
    queue: str
    priority: str
    #: Id of the batch that it would belong to, "" for none.
    batch: str = ""


class Held:
    """What a handler would have submitted: jobs, and in words whatever else."""

    def __init__(self) -> None:
        self.jobs: list[HeldJob] = []
        self.others: list[str] = []
        self._batches: dict[str, BatchView] = {}

    def store(self, jobs: Sequence[NewJob]) -> list[str]:
        for job in jobs:
            payload = decode_envelope(job.envelope).payload
            self.jobs.append(HeldJob(job.id, job.type, payload, job.queue, job.priority, job.batch))
        return [job.id for job in jobs]

    def upload(self, name: str, size: int) -> Upload:
        name = shown_name(name)
        self.others.append(f"upload {name} ({size} bytes)")
        return Upload(new_file_id(), name, size, content_type_of(name))

    def create_batch(self, batch: NewBatch) -> BatchView:
        queue = batch.queue or "default"
        made = BatchView(
            batch_id=new_job_id(queue),
            name=batch.name,
            queue=queue,
            status="open",
            created_at=to_rfc3339(time.time() * 1000),
        )
        self._batches[made.batch_id] = made
        self.others.append(f"create the batch {batch.name or made.batch_id}{_callbacks(batch)}")
        return made

    def seal_batch(self, batch_id: str) -> BatchView:
        view = self._batches.get(batch_id)
        if view is None:
            self.refuse("batches.seal")
        members = [job for job in self.jobs if job.batch == batch_id]
        self.others.append(f"seal the batch {view.name or batch_id} with {len(members)} jobs")
        return msgspec.structs.replace(view, status="running", total=len(members), pending=len(members))

    def refuse(self, action: str) -> NoReturn:
        raise HeldBack(f"{action} is not called in a replay: nothing on the server is changed")


def _callbacks(batch: NewBatch) -> str:
    given: dict[str, Any] = {
        name: each for name in ("on_complete", "on_success", "on_failure") if (each := getattr(batch, name)) is not None
    }
    return "".join(f", {name} {each.type}" for name, each in given.items())
