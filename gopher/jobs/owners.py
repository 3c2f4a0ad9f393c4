"""Job ownership: a job belongs to the name of the API key that it was submitted with, or to the trusted owner "".

The owner is a field of the envelope, which travels with the job anyway: so a job of any owner is stored, fetched and
completed by the same commands.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE

from .job import NewJob, current_job, with_field


class Submitter(NamedTuple):
    """Who submits jobs. With `sees_all` False it may learn about the jobs of its own owner only."""

    owner: str = ""
    sees_all: bool = True

    def may_see(self, owner: str) -> bool:
        """Return whether it may see, and wait for, the jobs of an owner."""
        return self.sees_all or owner == self.owner


TRUSTED = Submitter()


class _Owned(msgspec.Struct):
    owner: str = ""


_read = msgspec.json.Decoder(_Owned).decode


def current_submitter() -> Submitter:
    """Return the submitter of the calling code: a handler inherits the owner of its job, other code is trusted."""
    job = current_job()
    return Submitter(job.owner) if job is not None and job.owner else TRUSTED


def owned_by(jobs: Sequence[NewJob], owner: str) -> Sequence[NewJob]:
    """Return the jobs with their owner set; nothing is stored for the trusted one."""
    if not owner:
        return jobs
    field = b'"owner":' + msgspec.json.encode(owner)
    return [msgspec.structs.replace(job, owner=owner, envelope=with_field(job.envelope, field)) for job in jobs]


def owner_in(envelope: bytes) -> str:
    """Return the owner of a stored job by its envelope, "" when that can't be read."""
    try:
        return _read(envelope).owner
    except UNREADABLE:
        return ""
