"""What the handler of a job is given: enough to run it elsewhere, such as in a debugger (`gopherctl replay`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from .fields import AnyJson, JobId, JsonObject, Key, Owner, Priority, QueueName, Status, TypeName
from .files import SentFile


class ParentResult(msgspec.Struct):
    """The result of a job that another one waited for. Large ones are a reference to a file of that job."""

    result: AnyJson
    kept: Annotated[
        bool, Meta(description="false if nothing is kept of it any more, or its result is not for this API key.")
    ]


class JobInput(msgspec.Struct, kw_only=True):
    """What the handler of a job is given in its latest attempt. `timeout` is in seconds."""

    job_id: JobId
    type: TypeName
    status: Status
    queue: QueueName
    priority: Priority
    attempt: Annotated[int, Meta(ge=1, description="The latest one; 1 before the first.")]
    max_retries: int | None
    timeout: float | None
    payload: JsonObject
    payload_file: Annotated[
        str, Meta(description='The file of the job that has its payload; "" if `payload` is all of it.')
    ] = ""
    metadata: JsonObject
    tags: list[Key] = []
    #: "" for none.
    batch: str = ""
    owner: Owner = ""
    tenant: str = ""
    #: Where it was submitted in a trace; "" for none.
    traceparent: str = ""
    files: Annotated[dict[str, SentFile], Meta(description="The uploads that it was submitted with, by name.")] = {}
    parents: Annotated[dict[JobId, ParentResult], Meta(description="Results of the jobs that it waited for.")] = {}
