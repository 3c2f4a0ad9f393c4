"""A client that runs its jobs at once: the real client and the real scripts, on a server that only the tests use."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from uuid import uuid4

from gopher.base.durations import parse_duration
from gopher.client import Client, Stored
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.jobs.handlers import registry as registered
from gopher.jobs.job import NewJob
from gopher.jobs.models import JobView
from gopher.jobs.owners import Submitter
from gopher.queue.moves import Request
from gopher.server.embedded import EmbeddedServer
from gopher.server.executor import PATIENCE

from .inline import InlineWorker


@cache
def shared_server() -> EmbeddedServer:
    """Return a server that lives as long as this process. Raises ConfigurationError when there is none to start."""
    # Not the test's own folder: its path may be too long for a socket.
    folder = tempfile.mkdtemp(prefix="gopher-testing-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Nothing here needs to survive a crash.
    server = EmbeddedServer(folder, options={"appendonly": "no"}).start()
    atexit.register(server.stop)
    return server


class EagerClient(Client):
    """A `Client` whose jobs have run, with all their retries, when `enqueue` returns. Use it in a `with`.

    Without a `url` it starts a server of its own, once a process, and has a key space there that no other one has.
    Delayed and snoozed jobs wait for `run_scheduled`; limits, pauses, unique keys and `after` hold as they do in
    production. With `raise_errors` (the default) a job that ends as a dead letter raises what its handler raised;
    without it the error stands in the job, as in production.
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

    def store(
        self,
        jobs: Sequence[NewJob],
        *,
        request: Request | None = None,
        patience: float = PATIENCE,
        submitter: Submitter | None = None,
    ) -> list[Stored]:
        """Store jobs as `Client.store` does, and run what can be run."""
        stored = super().store(jobs, request=request, patience=patience, submitter=submitter)
        self.run_pending()
        return stored

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job after running what can be run. Nothing can change after that, so it never waits."""
        self.run_pending()
        return self.job(job_id)

    def run_pending(self) -> None:
        """Run all jobs that can be run now: after a `dead_letters.retry`, say, or a `flow.resume_queue`."""
        if self._running:
            # A handler has submitted a job: it has its turn when that handler has returned.
            return
        self._running = True
        try:
            died = self._worker.run_pending()
        finally:
            self._running = False
        if died and self._raise_errors:
            raise died[0]

    def run_scheduled(self, within: str | float | None = None) -> None:
        """Run also what is delayed or snoozed, as if so much time had passed: `"10m"`; None is any time at all."""
        self._worker.hurry(None if within is None else parse_duration(within))
        self.run_pending()

    def close(self) -> None:
        """Close the connections and forget everything in this client's key space."""
        keys = list(self.server.client.scan_iter(match=f"{self.settings.namespace}:*", count=1000))
        if keys:
            self.server.client.unlink(*keys)
        super().close()
