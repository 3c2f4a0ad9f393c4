"""A client that runs its jobs immediately: the real client and scripts, on a server for tests only."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import Self
from uuid import uuid4

from gopher.base.durations import parse_duration
from gopher.client import Client, Stored
from gopher.config.settings import Settings
from gopher.jobs.job import NewJob
from gopher.jobs.models import JobView
from gopher.jobs.owners import Submitter
from gopher.jobs.registry import Registry
from gopher.jobs.registry import registry as registered
from gopher.queue.arguments import Request
from gopher.server.embedded import EmbeddedServer
from gopher.server.executor import PATIENCE
from gopher.tasks.default_client import submitting_by

from .inline import InlineWorker


@cache
def shared_server() -> EmbeddedServer:
    """Return a server that runs as long as this process. Raises ConfigurationError if there is no server program."""
    # Not the test's own folder: its path may be too long for a socket.
    folder = tempfile.mkdtemp(prefix="gopher-testing-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Nothing here needs to survive a crash.
    server = EmbeddedServer(folder, options={"appendonly": "no"}).start()
    atexit.register(server.stop)
    return server


class EagerClient(Client):
    """A `Client` whose jobs have run, including all retries, when `enqueue` returns. Use it in a `with`.

    Without a `url` it starts a server, once per process, and uses a separate namespace there. Delayed and snoozed jobs
    wait for `run_scheduled`; limits, pauses, unique keys and `after` work as in production. With `raise_errors` (the
    default) a job that becomes a dead letter raises its handler's exception; otherwise the error is stored in the job,
    as in production. Within its `with`, tasks are submitted by it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        registry: Registry | None = None,
        raise_errors: bool = True,
        settings: Settings | None = None,
    ) -> None:
        handlers = registered if registry is None else registry
        namespace = f"test-{uuid4().hex[:12]}"
        super().__init__(url or shared_server().url, namespace=namespace, registry=handlers, settings=settings)
        self._worker = InlineWorker(self.server, handlers)
        self._raise_errors = raise_errors
        self._running = False
        #: Ends that it is the client of tasks.
        self._for_tasks = ExitStack()

    def __enter__(self) -> Self:
        self._for_tasks.enter_context(submitting_by(self))
        return super().__enter__()

    def store(
        self,
        jobs: Sequence[NewJob],
        *,
        request: Request | None = None,
        patience: float = PATIENCE,
        submitter: Submitter | None = None,
        partly: bool = False,
    ) -> list[Stored]:
        """Store jobs like `Client.store`, and run all that can run."""
        stored = super().store(jobs, request=request, patience=patience, submitter=submitter, partly=partly)
        self.run_pending()
        return stored

    def _check_workers(self, jobs: Sequence[NewJob], request: Request | None = None) -> None:
        """Accept all: this client is the worker."""

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job after running all that can run. Nothing can change after that, so it never waits."""
        self.run_pending()
        return self.job(job_id)

    def run_pending(self) -> None:
        """Run all jobs that can run now, e.g. after a `dead_letters.retry` or a `flow.resume_queue`."""
        if self._running:
            # A handler has submitted a job, which runs after the handler has returned.
            return
        self._running = True
        try:
            died = self._worker.run_pending()
        finally:
            self._running = False
        if died and self._raise_errors:
            raise died[0]

    def run_scheduled(self, within: str | float | None = None) -> None:
        """Also run delayed and snoozed jobs, as if the given time had passed, such as `"10m"`; None runs all."""
        self._worker.hurry(None if within is None else parse_duration(within))
        self.run_pending()

    def close(self) -> None:
        """Close the connections and delete everything in this client's namespace."""
        self._for_tasks.close()
        keys = list(self.server.client.scan_iter(match=f"{self.settings.namespace}:*", count=1000))
        if keys:
            self.server.client.unlink(*keys)
        super().close()
