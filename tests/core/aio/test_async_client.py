"""AsyncClient: the operations of Client for asyncio, on few connections, without anything that blocks the loop."""

import asyncio
import gc
import logging
import re
import select
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from greenlet import greenlet

from gopher import AsyncClient, Client
from gopher.base.times import to_rfc3339
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, JobNotFound, NotReplicated, QueueUnavailable, ServerError
from gopher.interface import Gopher
from gopher.jobs.job import new_job_id
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import InvalidBatch, JobFields
from gopher.queue.store import Server
from gopher.server.embedded import EmbeddedServer
from tests.certificates import HERE, Authority
from tests.core.proxy import Proxy
from tests.core.test_interface import PARTS
from tests.pulse import Pulse
from tests.seeding import SeedingWorker
from tests.tls_endpoint import TlsEndpoint


def run(use: Callable[[AsyncClient], Coroutine[Any, Any, Any]], url: str, namespace: str, **options: Any) -> Any:
    """Run a coroutine with a client, on a loop that reports what blocks it."""

    async def main() -> Any:
        asyncio.get_running_loop().slow_callback_duration = 1.0
        async with AsyncClient(url, namespace=namespace, **options) as client:
            return await use(client)

    return asyncio.run(main(), debug=True)


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.part or "client")
def test_it_has_each_operation_of_the_interface(redis_url: str, kind: type) -> None:
    client = AsyncClient(redis_url)
    own = getattr(client, kind.part) if kind.part else client
    declared = {name for name, each in vars(kind).items() if callable(each) and not name.startswith("_")}
    deprecated = {name for name in declared if "Deprecated" in (getattr(kind, name).__doc__ or "")}
    assert {name for name in dir(own) if not name.startswith("_")} >= declared - deprecated
    own_way = {"wait", "enqueue_many", "close", "batch"} if kind is Gopher else set()
    for name in declared - deprecated - own_way:
        assert getattr(type(own), name).declared is getattr(kind, name)


def test_first_submissions_of_an_installation_read_its_mark_once_together(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Server] = []
    read = Server._read_mark
    monkeypatch.setattr(Server, "_read_mark", lambda server: (reads.append(server), read(server))[1])

    async def submit() -> None:
        settings = replace(Settings.for_client(redis_url, namespace=namespace), redis_timeout=30.0)
        async with AsyncClient(settings=settings) as client:
            await asyncio.gather(*(client.enqueue("email", {}) for _ in range(100)))
            assert (await client.stats()).queue_size == 100

    asyncio.run(submit())
    # Those whose own read was answered later read it again.
    assert 1 <= len(reads) <= 20


class Blocked(AssertionError):
    """Something has blocked the thread of the loop."""


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a thread that runs a loop would block."""

    def forbid(owner: Any, name: str, *, also: Callable[..., bool] = lambda *_: True) -> None:
        original = getattr(owner, name)

        def checked(*given: Any, **named: Any) -> Any:
            if asyncio._get_running_loop() is not None and also(*given):
                raise Blocked(f"{name}{given}")
            return original(*given, **named)

        monkeypatch.setattr(owner, name, checked, raising=False)

    forbid(time, "sleep")
    forbid(socket, "getaddrinfo")
    forbid(select, "select")
    for name in ("connect", "sendall", "recv", "recv_into", "send"):
        forbid(socket.socket, name, also=lambda sock, *_: sock.gettimeout() != 0)


@pytest.fixture(params=["unix", "redis", "rediss"])
def url(request: pytest.FixtureRequest, server: EmbeddedServer, tmp_path: Path) -> Iterator[str]:
    """The server by its socket, and by a name that has to be resolved, also over TLS."""
    if request.param == "unix":
        yield server.url
        return
    authority = Authority(tmp_path) if request.param == "rediss" else None
    with TlsEndpoint(server.socket_path, authority and authority.sign("good", *HERE)) as endpoint:
        options = f"?ssl_ca_certs={authority.path}" if authority else ""
        yield f"{request.param}://localhost:{endpoint.port}{options}"


def test_nothing_blocks_the_loop(
    guarded: None, url: str, namespace: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async def use(client: AsyncClient) -> None:
        job_id = await client.enqueue("email", {"to": "ann"}, priority="high", metadata={"order": 17})
        assert (await client.job(job_id)).priority == "high"
        tomorrow = to_rfc3339(round((time.time() + 86400) * 1000))
        later = await client.enqueue("email", {}, delay="1h", after=[job_id], expires_at=tomorrow)
        assert [each.code for each in await client.why(later)]
        assert await client.cancel(later) == "cancelled"
        assert (await client.wait(later)).status == "cancelled"
        await client.schedules.put("nightly", ScheduleSpec("0 3 * * *", "email", msgspec.Raw(b"{}")))
        assert len(await client.schedules.preview("nightly", 3)) == 3
        assert await client.run_schedule("nightly")
        assert [each.name for each in await client.schedules.all()] == ["nightly"]
        await client.flow.set_limit("email", "10/s", None, 4)
        assert await client.flow.pause_queue("default")
        assert (await client.flow.limits())[0].type == "email"
        assert (await client.dead_letters.page()).total_count == 0
        assert (await client.stats()).queue_size == 2
        assert (await client.timeline("1h")).step == 10
        assert (await client.keys.create("ci", "submit")).secret
        assert (await client.audit()).entries
        assert (await client.health()).status
        assert len((await client.jobs(status="pending")).jobs) == 2
        uploaded = await client.files.upload(b"content", "a.txt")
        assert await client.enqueue("email", {}, files={"file": uploaded, "other": b"more"})
        assert await client.files.all(job_id) == []
        assert await client.purge("default", "pending") == 3
        with pytest.raises(InvalidJob, match="priority"):
            await client.enqueue("email", {}, priority="urgent")
        with pytest.raises(JobNotFound):
            await client.wait("01a2271a-36d5-7a15-b5ec-4bba0537c0df")

    with caplog.at_level(logging.WARNING, "asyncio"), Pulse() as pulse:
        run(use, url, namespace, settings=Settings(files=tmp_path))
    for told in [each.getMessage() for each in caplog.records if "Executing" in each.getMessage()]:
        # It also counts the time in which the loop itself waits for a processor.
        took = re.search(r"took ([0-9.]+) seconds$", told)
        assert took, told
        assert pulse.allows(float(took[1]), 1.0), f"{told}; {pulse}"


def test_a_thousand_coroutines_wait_on_few_connections(tmp_path: Path, namespace: str) -> None:
    async def use(client: AsyncClient) -> None:
        ids = await client.enqueue_many({"type": "email", "payload": {"number": number}} for number in range(1000))
        waiting = [asyncio.create_task(client.wait(job_id)) for job_id in ids]
        while client._watch.size < 1000:
            await asyncio.sleep(0.01)
        with Client(server.url, namespace=namespace) as other:
            assert 1 <= len(await asyncio.to_thread(other.server.client.client_list)) - 1 <= 4
            worker = SeedingWorker(other)
            worker.complete(await asyncio.to_thread(worker.fetch, 1000))
        assert {each.status for each in await asyncio.gather(*waiting)} == {"completed"}
        assert client._watch.size == 0

    with EmbeddedServer(tmp_path) as server:
        run(use, server.url, namespace, connections=4)


def test_cancelled_coroutines_leave_nothing_behind(redis_url: str, namespace: str) -> None:
    async def use(client: AsyncClient) -> None:
        ids = await client.enqueue_many({"type": "email", "payload": {}} for _ in range(50))
        waiting = [asyncio.create_task(client.wait(job_id)) for job_id in ids]
        calls = [asyncio.create_task(client.enqueue("email", {})) for _ in range(50)]
        while client._watch.size < 50:
            await asyncio.sleep(0.01)
        calls += [asyncio.create_task(client.job(ids[0])) for _ in range(50)]
        await asyncio.sleep(0)
        for task in (*waiting, *calls):
            task.cancel()
        await asyncio.wait([*waiting, *calls])
        assert all(task.cancelled() for task in waiting)
        assert client._watch.size == 0
        # The connection still gives each call its own reply.
        assert {(await client.job(job_id)).job_id for job_id in ids} == set(ids)
        assert not any(channel.load for place in places(client) for channel in place.open)
        # Of each thread, the one that its code runs in is left.
        assert all(each.dead or each.parent is None for each in gc.get_objects() if isinstance(each, greenlet))

    def places(client: AsyncClient) -> Any:
        return client._client.loop_server.pools.channels._places.values()

    run(use, redis_url, namespace)


def test_large_payloads_are_stored_from_a_coroutine_and_kept_when_it_is_cancelled_during_the_reply(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {"text": "x" * 400_000}
    settings = replace(Settings.for_client(redis_url, namespace=namespace), store="redis:", payload_max=2**20)

    async def use(client: AsyncClient) -> None:
        job_id = await client.enqueue("length", large)
        assert msgspec.json.decode(await client.files.read(job_id, "payload.json")) == large
        with pytest.raises(InvalidJob, match="no job"):
            await client.enqueue("length", large, after=[new_job_id()])
        enqueuer = client._client._enqueuer
        enqueue = enqueuer.enqueue

        def interrupted(*given: Any) -> Any:
            enqueue(*given)
            raise asyncio.CancelledError

        monkeypatch.setattr(enqueuer, "enqueue", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await client.enqueue("length", large)
        jobs = (await client.jobs()).jobs
        assert len(jobs) == 2
        for each in jobs:
            assert await client.files.read(each.job_id, "payload.json")

    async def main() -> None:
        async with AsyncClient(settings=settings) as client:
            await use(client)

    asyncio.run(main())


def test_a_batch_comes_from_an_async_generator_too(redis_url: str, namespace: str) -> None:
    async def jobs() -> AsyncIterator[JobFields]:
        for number in range(3):
            await asyncio.sleep(0)
            yield {"type": "email", "payload": {"number": number}}

    async def use(client: AsyncClient) -> None:
        ids = await client.enqueue_many(jobs())
        assert [bytes((await client.job(each)).payload) for each in ids] == [b'{"number":%d}' % n for n in range(3)]
        with pytest.raises(InvalidBatch):
            await client.submit_batch([b'{"type":"email","payload":1}', b'{"type":"email","payload":{}}'])

    run(use, redis_url, namespace)


def test_a_confirmed_submission_says_what_is_missing(redis_url: str, namespace: str) -> None:
    async def use(client: AsyncClient) -> None:
        submitting = [client.enqueue("email", {}, durability="replicated") for _ in range(10)]
        errors = await asyncio.gather(*submitting, return_exceptions=True)
        assert all(isinstance(each, NotReplicated) and "0 of 1 replicas" in str(each) for each in errors)

    run(use, redis_url, namespace)


def test_a_confirmed_submission_that_is_cancelled_while_its_connection_is_checked_closes_it(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(NotReplicated):
            await client.enqueue("email", {}, durability="replicated")
        channels = client._client.loop_server.executors[-1].pools.channels
        (place,) = channels._places.values()
        (channel,) = place.open
        monkeypatch.setattr("gopher.aio.channels.IDLE", 0.0)
        submitting = asyncio.create_task(client.enqueue("email", {}, durability="replicated"))
        while not channel.load:
            await asyncio.sleep(0)
        submitting.cancel()
        await asyncio.wait([submitting])
        assert submitting.cancelled()
        assert not channel.is_open
        assert not place.lent.locked()

    run(use, redis_url, namespace)


def test_it_survives_a_restart_of_the_server(tmp_path: Path, namespace: str) -> None:
    first = EmbeddedServer(tmp_path)
    first.start()

    async def use(client: AsyncClient) -> None:
        job_id = await client.enqueue("email", {})
        waiting = asyncio.create_task(client.wait(job_id))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(first.stop)
        for call in (waiting, client.job(job_id)):
            with pytest.raises(QueueUnavailable):
                await call
        with pytest.raises(ServerError):
            await client.enqueue("email", {})
        submitting = asyncio.create_task(client.enqueue("email", {}))
        with EmbeddedServer(tmp_path):
            # It was begun before the server was back, and is retried.
            other = await submitting
            assert {(await client.job(each)).status for each in (job_id, other)} == {"pending"}

    run(use, first.url, namespace)


def test_a_dead_connection_is_given_up_and_the_call_sent_on_another(redis_url: str, namespace: str) -> None:
    async def use(client: AsyncClient) -> None:
        job_id = await client.enqueue("email", {})
        for place in client._client.loop_server.pools.channels._places.values():
            for channel in place.open:
                # As when something on the way has forgotten it.
                channel._loop.remove_reader(channel._descriptor)
        began = time.monotonic()
        await client.enqueue("email", {})
        assert time.monotonic() - began < 5
        assert (await client.job(job_id)).status == "pending"

    run(use, redis_url, namespace)


def test_a_call_that_gives_up_early_leaves_those_waiting_that_share_its_connection(
    proxy: Proxy, namespace: str
) -> None:
    async def use(client: AsyncClient) -> None:
        job_id = await client.enqueue("email", {})
        released = proxy.hold()
        slow = asyncio.create_task(client.job(job_id))
        submitted = asyncio.create_task(client.enqueue("email", {}))
        # It is sent again on another connection.
        assert (await client.job(await submitted)).status == "pending"
        assert not slow.done()
        released.set()
        assert (await slow).status == "pending"
        (place,) = client._client.loop_server.pools.channels._places.values()
        assert len(place.open) == 1

    run(use, proxy.url, namespace)


def test_a_dead_connection_is_given_up_although_all_its_calls_were_cancelled(proxy: Proxy, namespace: str) -> None:
    async def main() -> None:
        async with AsyncClient(settings=settings) as client:
            job_id = await client.enqueue("email", {})
            (place,) = client._client.loop_server.pools.channels._places.values()
            (channel,) = place.open
            released = proxy.hold()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.job(job_id), 0.1)
            async with asyncio.timeout(20):
                while channel.is_open:
                    await asyncio.sleep(0.02)
            assert (await client.job(job_id)).status == "pending"
            released.set()

    settings = replace(Settings.for_client(proxy.url, namespace=namespace), redis_timeout=1.0)
    asyncio.run(main())


def test_a_closed_client_ends_calls_on_connections_that_take_no_new_ones(proxy: Proxy, namespace: str) -> None:
    async def main() -> None:
        client = AsyncClient(settings=settings)
        job_id = await client.enqueue("email", {})
        released = proxy.hold()
        slow = asyncio.create_task(client.job(job_id))
        # It has given that connection up.
        await client.enqueue("email", {})
        assert not slow.done()
        await client.close()
        # Not only when the proxy, or its own limit, ends it.
        with pytest.raises(QueueUnavailable, match="the client was closed"):
            await asyncio.wait_for(slow, 20)
        released.set()

    settings = replace(Settings.for_client(proxy.url, namespace=namespace), redis_timeout=60.0)
    asyncio.run(main())


def test_a_closed_client_says_so(redis_url: str, namespace: str) -> None:
    async def main() -> None:
        client = AsyncClient(settings=settings)
        job_id = await client.enqueue("email", {})
        waiting = asyncio.create_task(client.wait(job_id))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(QueueUnavailable, match="closed"):
            await waiting
        await client.close()
        for call in (client.job(job_id), client.files.upload(b"content", "a.txt"), client.enqueue("email", large)):
            with pytest.raises(QueueUnavailable, match="closed"):
                await call

    large = {"text": "x" * 400_000}
    settings = replace(Settings.for_client(redis_url, namespace=namespace), payload_max=2**20)
    asyncio.run(main())


def test_a_client_says_that_it_belongs_to_another_loop(redis_url: str, namespace: str) -> None:
    client = AsyncClient(redis_url, namespace=namespace)
    with asyncio.Runner() as first:
        first.run(client.enqueue("email", {}))
        with pytest.raises(RuntimeError, match="create one for each loop"):
            asyncio.run(client.stats())
        first.run(client.close())
