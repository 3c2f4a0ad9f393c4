"""Job ownership: a job belongs to the name of the API key that submitted it, or to the trusted owner "".

The owner is a field of the envelope, so that jobs of any owner are stored, fetched and completed by the same commands.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE
from gopher.config.key_kinds import ApiKey

from .job import NewJob, current_job, with_field


class Submitter(NamedTuple):
    """A submitter of jobs.

    With `sees_all` False it may only see jobs of its own owner, with a limited key only those within its limits.
    """

    owner: str = ""
    sees_all: bool = True
    #: Its API key, if that is limited to some queues or types, or to a tenant.
    limited: ApiKey | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether it may see every job."""
        return self.sees_all and self.limited is None

    def owns(self, owner: str) -> bool:
        """Return whether the jobs of an owner are its own; trusted jobs never are."""
        return owner == self.owner != ""

    def may_see(self, queue: str, job_type: str, whose: "Owned") -> bool:
        """Return whether it may see, and wait for, a job."""
        is_within = self.limited is None or self.limited.admits(queue, job_type, whose.tenant)
        return is_within and (self.sees_all or self.owns(whose.owner))

    def may_use_batch(self, owner: str) -> bool:
        """Return whether it may add jobs to a batch, and wait for it: a batch may have jobs beyond its limits."""
        return self.is_unlimited or self.owns(owner)


TRUSTED = Submitter()


class Owned(msgspec.Struct):
    """Whose job it is, as in its envelope."""

    owner: str = ""
    tenant: str = ""


_read = msgspec.json.Decoder(Owned).decode


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


def of_tenant(job: NewJob, tenant: str) -> NewJob:
    """Return a job of a tenant."""
    field = b'"tenant":' + msgspec.json.encode(tenant)
    return msgspec.structs.replace(job, tenant=tenant, envelope=with_field(job.envelope, field))


def whose(envelope: bytes) -> Owned:
    """Return the owner and the tenant in a stored envelope, "" if they can't be read."""
    try:
        return _read(envelope)
    except UNREADABLE:
        return Owned()
