"""Files in the store: takes uploads, and finds what jobs have stored."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import msgspec

from gopher.base.names import canonical_id
from gopher.errors import GopherError, InvalidJob, PayloadTooLarge
from gopher.files.large_payloads import key_for, without_payload
from gopher.files.names import job_folder, job_key, new_file_id, shown_name, upload_key
from gopher.files.opening import open_store
from gopher.files.store import FileMissing, FileTooLarge, Reading, Store
from gopher.files.transfers import Content, name_of, opened, save_pieces, size_of
from gopher.files.types import HEAD, checked_type
from gopher.files.uploads import claim, keep_uploads, use_uploads
from gopher.hooks import holding
from gopher.interface.files import FilesInterface
from gopher.interface.stored import Stored
from gopher.jobs.files import JobFile, Upload
from gopher.jobs.job import FileRef, NewJob, decode_envelope, with_field
from gopher.jobs.owners import Submitter, current_submitter
from gopher.jobs.submission import InvalidBatch
from gopher.queue import batches
from gopher.queue.arguments import Request
from gopher.queue.missing import no_such_job
from gopher.queue.store import Server
from gopher.queue.uploads import release, reserve
from gopher.reads.jobs import Inspector

from .inputs import envelope_of

#: The uploads of a job: (name, id).
Named = tuple[tuple[str, str], ...]
#: Size of each upload by id.
Sizes = Mapping[str, int]
#: Timeout of one command of the store, in seconds.
_TIMEOUT = 10.0
#: Connections of a store on the server, and uploads that are written to it at the same time: others wait, since a
#: connection is not waited for as long.
_CONNECTIONS, _WRITERS = 4, 3
#: Field of an error about an upload.
_FIELD = "/file"


class Files(FilesInterface):
    """The files of an installation. The store is opened on first use."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._opened: Store | None = None
        self._own_server: Server | None = None
        self._opening = threading.Lock()
        self._writing = threading.BoundedSemaphore(_WRITERS)

    @property
    def store(self) -> Store:
        """The store. Raises ConfigurationError if a library for it is missing."""
        with self._opening:
            if self._opened is None:
                # With connections of its own, if it is on the server: files may take longer than other calls wait.
                settings = self._server.settings
                patient = replace(settings, redis_timeout=max(settings.redis_timeout, _TIMEOUT))
                if patient.store == "redis:":
                    self._own_server = Server(patient, connections=_CONNECTIONS)
                self._opened = open_store(patient, self._own_server)
            return self._opened

    def close(self) -> None:
        """Release the store's connections."""
        for each in (self._opened, self._own_server):
            if each is not None:
                each.close()

    # Uploads

    def upload(self, file: Content, name: str = "", content_type: str = "") -> Upload:
        """Upload a file. Raises InvalidJob if it is too large or of a wrong type, a StoreError, a ServerError."""
        with opened(file) as content:
            name = name or name_of(file)
            if holding.holder is not None:
                return holding.holder.upload(name, size_of(content))
            return self.keep(current_submitter().owner, content, size_of(content), name, content_type)

    def keep(
        self, owner: str, content: BinaryIO, size: int, name: str, content_type: str, field: str = _FIELD
    ) -> Upload:
        """Store an upload of an owner: what is left to read of `content`, `size` bytes. Raises as `upload` does."""
        settings = self._server.settings
        if size > settings.file_max:
            raise PayloadTooLarge(f"is {size} bytes: the maximum is {settings.file_max} (GOPHER_FILE_MAX)", field)
        if size == 0:
            raise InvalidJob("is empty: send the bytes of the file", field)
        name = shown_name(name)
        start = content.tell()
        head = content.read(HEAD)
        content.seek(start)
        kind = checked_type(content_type, head, name, settings.file_types, field)
        file_id = new_file_id()
        reserve(self._server, owner, file_id, size)
        try:
            with self._turn_to_write():
                stored = self.store.write(
                    upload_key(owner, file_id), content, limit=settings.file_max, content_type=kind, name=name
                )
        except BaseException as error:
            with suppress(GopherError):
                release(self._server, owner, [(file_id, size)])
            if isinstance(error, FileTooLarge):
                raise PayloadTooLarge(f"{error} (GOPHER_FILE_MAX)", field) from error
            raise
        return Upload(file_id, name, stored.size, kind)

    def _turn_to_write(self) -> AbstractContextManager[object]:
        return self._writing if self._server.settings.store == "redis:" else nullcontext()

    def forget(self, owner: str, uploads: Iterable[Upload]) -> None:
        """Delete uploads that no job uses, as far as possible: the rest expires."""
        for each in uploads:
            with suppress(GopherError):
                self.store.delete(upload_key(owner, each.file_id))
                release(self._server, owner, [(each.file_id, each.size)])

    def claim(
        self, jobs: Sequence[NewJob], submitter: Submitter, request: Request | None
    ) -> tuple[Sequence[NewJob], Sizes]:
        """Return jobs with what their handlers need of their uploads, which are kept for them from now on.

        Also returns the size of each upload, for `count_used` once the jobs are stored. Raises InvalidJob for an upload
        that does not exist, InvalidBatch for those of several jobs.
        """
        if self.is_repeat(jobs, request):
            return jobs, {}
        found, errors = self._look_up(jobs, submitter.owner, claims=True)
        if errors:
            raise errors[0][1] if len(jobs) == 1 else InvalidBatch(errors)
        sizes = {file_id: refs[name].size for files, refs in found.items() for name, file_id in files}
        fields = {files: b'"files":' + msgspec.json.encode(refs) for files, refs in found.items()}
        claimed = [
            msgspec.structs.replace(job, envelope=with_field(job.envelope, fields[job.files])) if job.files else job
            for job in jobs
        ]
        return claimed, sizes

    def count_used(self, jobs: Sequence[NewJob], stored: Sequence[Stored], owner: str, sizes: Sizes) -> None:
        """Count the uploads of jobs that are stored no more among those that no job uses."""
        new = [job for job, each in zip(jobs, stored, strict=True) if each.is_new]
        with suppress(GopherError):
            # What is counted for longer only counts until it expires.
            release(self._server, owner, {(file_id, sizes[file_id]) for job in new for _, file_id in job.files})

    def is_repeat(self, jobs: Sequence[NewJob], request: Request | None) -> bool:
        """Return whether a request has been stored: a repeat stores nothing, and its uploads may be gone by now."""
        if request is None:
            return False
        return batches.is_known(self._server, request, list(batches.places_by_queue(jobs)))

    def missing_uploads(self, jobs: Sequence[NewJob], submitter: Submitter) -> list[tuple[int, InvalidJob]]:
        """Return the index and the error of each job with an upload that does not exist."""
        return self._look_up(jobs, submitter.owner, claims=False)[1]

    def check(self, jobs: Sequence[NewJob], submitter: Submitter) -> None:
        """Raise the errors of jobs with uploads that do not exist."""
        if errors := self.missing_uploads(jobs, submitter):
            raise errors[0][1] if len(jobs) == 1 else InvalidBatch(errors)

    def _look_up(
        self, jobs: Sequence[NewJob], owner: str, *, claims: bool
    ) -> tuple[dict[Named, dict[str, FileRef]], list[tuple[int, InvalidJob]]]:
        """Return what is known of the uploads of jobs; the index and the error of each that names another one."""
        places: dict[Named, list[int]] = {}
        for index, job in enumerate(jobs):
            if job.files:
                places.setdefault(job.files, []).append(index)
        found: dict[Named, dict[str, FileRef]] = {}
        errors: list[tuple[int, InvalidJob]] = []
        for files, indexes in places.items():
            ids = [jobs[index].id for index in indexes] if claims else []
            try:
                found[files] = use_uploads(self.store, self._server, owner, dict(files), ids)
            except InvalidJob as error:
                errors += [(index, error) for index in indexes]
        return found, sorted(errors, key=itemgetter(0))

    # Payloads

    def write_payloads(self, jobs: Sequence[NewJob]) -> tuple[list[NewJob], dict[str, str]]:
        """Store payloads that are too large for records as files of their jobs. Raises a StoreError.

        Returns the jobs with records that refer to them, and the keys of the files by the ids of these jobs.
        """
        written: dict[str, str] = {}
        try:
            return [self._referring(job, written) for job in jobs], written
        except BaseException:
            self.delete_payloads(written.values())
            raise

    def _referring(self, job: NewJob, written: dict[str, str]) -> NewJob:
        referring, payload = without_payload(job)
        if payload:
            written[job.id] = key_for(job)
            with self._turn_to_write():
                self.store.write(written[job.id], [payload], limit=len(payload))
        return referring

    def delete_payloads(self, keys: Iterable[str]) -> None:
        """Delete payloads of jobs that were not stored, as far as possible: the rest is swept."""
        for key in keys:
            with suppress(GopherError):
                self.store.delete(key)

    def claim_for(self, envelope: bytes, job_id: str) -> None:
        """Keep the uploads of a submission also for the job that it replaces."""
        claim(self._server, [ref.key for ref in decode_envelope(envelope).files.values()], [job_id])

    def claim_for_copy(self, files: Mapping[str, FileRef], job_id: str) -> None:
        """Keep the uploads of a job also for a copy of it. Raises InvalidJob for one that does not exist any more."""
        keep_uploads(self.store, self._server, files, job_id)

    # Files of jobs

    def all(self, job_id: str) -> list[JobFile]:
        """Return the files that a job has stored, by name. Raises JobNotFound, a StoreError."""
        job_id = canonical_id(job_id)
        if Inspector(self._server).find(job_id) is None:
            raise no_such_job(self._server, job_id)
        return sorted(self._files(job_id), key=lambda file: file.name)

    def _files(self, job_id: str) -> Iterator[JobFile]:
        for stored in self.store.list(job_folder(job_id)):
            yield JobFile(stored.name, stored.size, stored.content_type, url_of(job_id, stored.name))

    def read(self, job_id: str, name: str) -> bytes:
        """Return the content of a file that a job has stored. Raises FileMissing, JobNotFound, a StoreError."""
        with self.reading(job_id, name) as reading:
            return b"".join(reading)

    def reading(self, job_id: str, name: str) -> Reading:
        """Begin to read a file that a job has stored. Raises as `read` does."""
        try:
            return self.store.read(self.key_of(job_id, name))
        except FileMissing:
            raise self.missing(job_id, name) from None

    def key_of(self, job_id: str, name: str) -> str:
        """Return the key of a file that a job has stored. Raises FileMissing, JobNotFound."""
        try:
            return job_key(canonical_id(job_id), name)
        except ValueError:
            raise self.missing(job_id, name) from None

    def missing(self, job_id: str, name: str) -> GopherError:
        """Return the error that a file, or its job, does not exist."""
        if Inspector(self._server).find(canonical_id(job_id)) is None:
            return no_such_job(self._server, canonical_id(job_id))
        return FileMissing(f"job {job_id} has no file {name!r:.150}")

    def save(self, job_id: str, name: str, to: str | os.PathLike[str]) -> Path:
        """Download a file that a job has stored to a path or into a folder. Raises as `read` does."""
        with self.reading(job_id, name) as reading:
            return save_pieces(reading, name, to)

    # Uploads of jobs

    def read_upload(self, job_id: str, name: str) -> bytes:
        """Return the content of a file that a job was submitted with. Raises FileMissing, JobNotFound, a StoreError."""
        with self._reading_upload(job_id, name) as reading:
            return b"".join(reading)

    def save_upload(self, job_id: str, name: str, to: str | os.PathLike[str]) -> Path:
        """Download a file that a job was submitted with to a path. Raises as `read_upload` does."""
        with self._reading_upload(job_id, name) as reading:
            return save_pieces(reading, name, to)

    def _reading_upload(self, job_id: str, name: str) -> Reading:
        try:
            return self.store.read(self.key_of_upload(job_id, name))
        except FileMissing:
            raise self.missing_upload(job_id, name) from None

    def key_of_upload(self, job_id: str, name: str) -> str:
        """Return the key of a file that a job was submitted with. Raises FileMissing, JobNotFound, JobConflict."""
        queue = Inspector(self._server).find(job_id := canonical_id(job_id))
        if queue is None:
            raise no_such_job(self._server, job_id)
        ref = envelope_of(self._server, queue, job_id).files.get(name)
        if ref is None:
            raise FileMissing(f"job {job_id} was submitted without a file {name!r:.150}")
        return ref.key

    def missing_upload(self, job_id: str, name: str) -> GopherError:
        """Return the error that a file is not in the store any more."""
        return FileMissing(f"the file {name!r:.150} that job {job_id} was submitted with is not in the store any more")


def url_of(job_id: str, name: str) -> str:
    """Return where the API has a file that a job has stored."""
    return f"/api/v1/jobs/{job_id}/files/{quote(name)}"
