"""Gopher from asyncio: `await AsyncClient(url).enqueue("image_resize", {...}, priority="high")`."""

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from gopher.admin.files import Files
from gopher.base.names import canonical_id
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import QueueUnavailable
from gopher.interface import (
    BatchesInterface,
    DeadLettersInterface,
    FilesInterface,
    FleetInterface,
    FlowInterface,
    Gopher,
    KeysInterface,
    OpenBatch,
    SchedulesInterface,
    WaitingInterface,
    WebhooksInterface,
)
from gopher.jobs.models import JobView
from gopher.jobs.registry import Registry
from gopher.jobs.submission import MAX_BATCH, JobFields
from gopher.queue.missing import no_such_job
from gopher.queue.store import Server

from .bridge import in_threads, run
from .server import LoopServer
from .watching import JobWatch

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

#: Threads that read and write files.
_FILE_THREADS = 4
#: Jobs per call of `enqueue_many` beyond the first 10,000.
_BULK = 1000


class Awaited(Generic[Parameters, Result]):
    """An operation of the interface as a coroutine: with the same parameters and the same result."""

    def __init__(self, declared: Callable[Concatenate[Any, Parameters], Result]) -> None:
        self.declared = declared
        self.__doc__ = declared.__doc__
        self.__wrapped__ = declared

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, part: None, owner: type) -> Self: ...
    @overload
    def __get__(self, part: "Part", owner: type) -> Callable[Parameters, Coroutine[Any, Any, Result]]: ...
    def __get__(self, part: "Part | None", owner: type) -> Any:
        return self if part is None else partial(part.call, self._name)


class Part:
    """Operations that are performed by a synchronous object, in coroutines."""

    def __init__(self, performer: Any) -> None:
        self._performer = performer

    async def call(self, name: str, *given: Any, **named: Any) -> Any:
        return await run(getattr(self._performer, name), *given, **named)


class AsyncDeadLetters(Part):
    """Lists dead letters, retries or deletes them."""

    page = Awaited(DeadLettersInterface.page)
    groups = Awaited(DeadLettersInterface.groups)
    count = Awaited(DeadLettersInterface.count)
    retry = Awaited(DeadLettersInterface.retry)
    retry_all = Awaited(DeadLettersInterface.retry_all)
    retry_gradually = Awaited(DeadLettersInterface.retry_gradually)
    redrives = Awaited(DeadLettersInterface.redrives)
    stop_redrive = Awaited(DeadLettersInterface.stop_redrive)
    discard = Awaited(DeadLettersInterface.discard)
    discard_all = Awaited(DeadLettersInterface.discard_all)


class AsyncBatches(Part):
    """Batches: jobs in any queues that are counted together."""

    create = Awaited(BatchesInterface.create)
    page = Awaited(BatchesInterface.page)
    get = Awaited(BatchesInterface.get)
    wait = Awaited(BatchesInterface.wait)
    jobs = Awaited(BatchesInterface.jobs)
    seal = Awaited(BatchesInterface.seal)
    cancel = Awaited(BatchesInterface.cancel)
    retry = Awaited(BatchesInterface.retry)


class AsyncBatch(Part):
    """A batch that takes jobs until the end of an `async with` block, which seals it."""

    def __init__(self, batch: OpenBatch) -> None:
        super().__init__(batch)
        self._batch = batch

    @property
    def id(self) -> str:
        """Its id, inside the block."""
        return self._batch.id

    async def __aenter__(self) -> Self:
        await run(self._batch.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await run(self._batch.__exit__, kind, error, trace)

    enqueue = Awaited(OpenBatch.enqueue)
    enqueue_many = Awaited(OpenBatch.enqueue_many)
    seal = Awaited(OpenBatch.seal)
    progress = Awaited(OpenBatch.progress)
    wait = Awaited(OpenBatch.wait)


class AsyncFlow(Part):
    """Limits and pauses."""

    limits = Awaited(FlowInterface.limits)
    set_limit = Awaited(FlowInterface.set_limit)
    clear_limit = Awaited(FlowInterface.clear_limit)
    tenants = Awaited(FlowInterface.tenants)
    set_tenant = Awaited(FlowInterface.set_tenant)
    clear_tenant = Awaited(FlowInterface.clear_tenant)
    release = Awaited(FlowInterface.release)
    pause_queue = Awaited(FlowInterface.pause_queue)
    resume_queue = Awaited(FlowInterface.resume_queue)
    pause_type = Awaited(FlowInterface.pause_type)
    resume_type = Awaited(FlowInterface.resume_type)


class AsyncSchedules(Part):
    """The schedules of an installation."""

    put = Awaited(SchedulesInterface.put)
    get = Awaited(SchedulesInterface.get)
    page = Awaited(SchedulesInterface.page)
    all = Awaited(SchedulesInterface.all)
    delete = Awaited(SchedulesInterface.delete)
    pause = Awaited(SchedulesInterface.pause)
    resume = Awaited(SchedulesInterface.resume)
    preview = Awaited(SchedulesInterface.preview)


class AsyncKeys(Part):
    """The API keys that are kept on the server."""

    all = Awaited(KeysInterface.all)
    create = Awaited(KeysInterface.create)
    rotate = Awaited(KeysInterface.rotate)
    revoke = Awaited(KeysInterface.revoke)


class AsyncFleet(Part):
    """Tells workers to be quiet or to stop, and shows what running jobs are doing."""

    quiet = Awaited(FleetInterface.quiet)
    stop = Awaited(FleetInterface.stop)
    quiet_all = Awaited(FleetInterface.quiet_all)
    stop_all = Awaited(FleetInterface.stop_all)
    stack = Awaited(FleetInterface.stack)


class AsyncWaiting(Part):
    """Acts on jobs that wait."""

    run = Awaited(WaitingInterface.run)
    move = Awaited(WaitingInterface.move)
    copy = Awaited(WaitingInterface.copy)
    cancel_matching = Awaited(WaitingInterface.cancel_matching)
    cancellations = Awaited(WaitingInterface.cancellations)
    stop_cancellation = Awaited(WaitingInterface.stop_cancellation)


class AsyncWebhooks(Part):
    """Webhooks: receivers that are told how jobs end."""

    all = Awaited(WebhooksInterface.all)
    get = Awaited(WebhooksInterface.get)
    create = Awaited(WebhooksInterface.create)
    replace = Awaited(WebhooksInterface.replace)
    delete = Awaited(WebhooksInterface.delete)
    rotate = Awaited(WebhooksInterface.rotate)
    enable = Awaited(WebhooksInterface.enable)
    test = Awaited(WebhooksInterface.test)
    deliveries = Awaited(WebhooksInterface.deliveries)
    redeliver = Awaited(WebhooksInterface.redeliver)
    secret = Awaited(WebhooksInterface.secret)
    rotate_secret = Awaited(WebhooksInterface.rotate_secret)


class AsyncFiles(Part):
    """Files in the store that `GOPHER_STORE` names. They are read and written in threads."""

    upload = Awaited(FilesInterface.upload)
    all = Awaited(FilesInterface.all)
    read = Awaited(FilesInterface.read)
    save = Awaited(FilesInterface.save)
    read_upload = Awaited(FilesInterface.read_upload)
    save_upload = Awaited(FilesInterface.save_upload)
    sent = Awaited(FilesInterface.sent)


class AsyncClient(Part):
    """Submits and manages jobs from asyncio, with the operations and options of `Client`. Coroutines may share one.

    All calls share at most `connections` connections to a server. A client belongs to the loop of its first call. Use
    it as `async with AsyncClient() as client`, or await `close()`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        registry: Registry | None = None,
        settings: Settings | None = None,
        connections: int = 4,
    ) -> None:
        self._threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="gopher-files")
        self._client = _LoopClient(
            url,
            namespace=namespace,
            registry=registry,
            settings=settings,
            connections=connections,
            threads=self._threads,
        )
        super().__init__(self._client)
        self._is_closed = False
        self._watch = JobWatch(self._client.inspector)
        self.batches = AsyncBatches(self._client.batches)
        self.dead_letters = AsyncDeadLetters(self._client.dead_letters)
        self.flow = AsyncFlow(self._client.flow)
        self.schedules = AsyncSchedules(self._client.schedules)
        self.keys = AsyncKeys(self._client.keys)
        self.fleet = AsyncFleet(self._client.fleet)
        self.waiting = AsyncWaiting(self._client.waiting)
        self.webhooks = AsyncWebhooks(self._client.webhooks)
        self.files = AsyncFiles(self._client.files)

    @property
    def settings(self) -> Settings:
        return self._client.settings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. What other coroutines are waiting for fails."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._watch.close()
        for executor in self._client.loop_server.executors:
            await executor.aclose()
        await run(in_threads(self._threads, self._client.close))
        self._threads.shutdown(wait=False)

    #: So that `contextlib.aclosing` works.
    aclose = close

    # Submitting

    enqueue = Awaited(Gopher.enqueue)
    submit = Awaited(Gopher.submit)
    submit_batch = Awaited(Gopher.submit_batch)
    dry_run_submission = Awaited(Gopher.dry_run_submission)
    run_schedule = Awaited(Gopher.run_schedule)

    def batch(self, **options: Any) -> AsyncBatch:
        """Return a batch for an `async with` block, which seals it. `options` are those of `Client.batch`."""
        return AsyncBatch(self._client.batch(**options))

    @overload
    async def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]: ...
    @overload
    async def enqueue_many(self, jobs: AsyncIterable[JobFields]) -> list[str]: ...
    async def enqueue_many(self, jobs: Iterable[JobFields] | AsyncIterable[JobFields]) -> list[str]:
        """Submit many jobs, each `{"type": ..., "payload": ..., ...}`, and return their ids in order.

        Up to 10,000 are accepted all or none; more are sent in batches of 1,000, so that any number can be streamed.
        """
        if not isinstance(jobs, AsyncIterable):
            return await run(self._client.enqueue_many, jobs)
        ids: list[str] = []
        piece: list[JobFields] = []
        async for job in jobs:
            piece.append(job)
            if len(piece) >= (_BULK if ids else MAX_BATCH):
                ids += await run(self._client.enqueue_many, piece)
                piece = []
        return ids + (await run(self._client.enqueue_many, piece) if piece else [])

    # Looking

    job = Awaited(Gopher.job)
    jobs = Awaited(Gopher.jobs)
    job_input = Awaited(Gopher.job_input)
    logs = Awaited(Gopher.logs)
    why = Awaited(Gopher.why)
    stats = Awaited(Gopher.stats)
    timeline = Awaited(Gopher.timeline)
    type_stats = Awaited(Gopher.type_stats)
    capacity = Awaited(Gopher.capacity)
    workers = Awaited(Gopher.workers)
    types = Awaited(Gopher.types)
    audit = Awaited(Gopher.audit)
    health = Awaited(Gopher.health)

    async def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job once it has finished, or after `timeout` seconds. Raises JobNotFound.

        Thousands of coroutines may wait: their jobs are looked at together.
        """
        queue = await run(self._client.inspector.find, job_id := canonical_id(job_id))
        if queue is None:
            raise await run(no_such_job, self._client.server, job_id)
        await self._watch.wait(queue, job_id, timeout)
        return await self.job(job_id)

    # Acting

    cancel = Awaited(Gopher.cancel)
    purge = Awaited(Gopher.purge)


class _LoopClient(Client):
    """What performs the operations."""

    _server_kind: type[Server] = LoopServer

    def __init__(self, *given: Any, threads: ThreadPoolExecutor, **named: Any) -> None:
        super().__init__(*given, **named)
        files = Files(Server(self.settings, connections=_FILE_THREADS))
        self.files = cast("Files", _InThreads(files, threads))

    @property
    def loop_server(self) -> LoopServer:
        return cast("LoopServer", self.server)


class _InThreads:
    """Performs methods of an object in threads: disks, buckets and large files take their time."""

    def __init__(self, performer: Any, threads: ThreadPoolExecutor) -> None:
        self._performer, self._threads = performer, threads
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:
        if self._is_closed:
            raise QueueUnavailable("the client was closed")
        return in_threads(self._threads, getattr(self._performer, name))

    def close(self) -> None:
        self._is_closed = True
        self._performer.close()
