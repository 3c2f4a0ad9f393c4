"""Where a running job is in its code."""

import msgspec

from .fields import JobId, Time, WorkerId


class StackView(msgspec.Struct):
    """Where a running job is: the stacks of its process, its handler's thread first, each with the innermost frame
    first. `place` is where in the handler's code it is, such as `shop/mail.py:42 send`; "" if that is not known."""

    job_id: JobId
    worker: WorkerId
    pid: int
    attempt: int
    at: Time
    place: str
    stack: str
