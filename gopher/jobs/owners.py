"""Job ownership: a job belongs to the name of the API key that submitted it, or to the trusted owner "".

The owner is a field of the envelope, so that jobs of any owner are stored, fetched and completed by the same commands.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE

from .job import NewJob, current_job, with_field


class Submitter(NamedTuple):
    """A submitter of jobs. With `sees_all` False it may only see jobs of its own owner."""

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
    """Return the submitter of the calling code: a handler inherits its job's owner, other code is trusted."""
    job = current_job()
    return Submitter(job.owner) if job is not None and job.owner else TRUSTED


def owned_by(jobs: Sequence[NewJob], owner: str) -> Sequence[NewJob]:
    """Return the jobs with their owner set; nothing is stored for the trusted one."""
    if not owner:
        return jobs
    field = b'"owner":' + msgspec.json.encode(owner)
    return [msgspec.structs.replace(job, owner=owner, envelope=with_field(job.envelope, field)) for job in jobs]


def owner_in(envelope: bytes) -> str:
    """Return the owner in a stored envelope, "" if it can't be read."""
    try:
        return _read(envelope).owner
    except UNREADABLE:
        return ""
