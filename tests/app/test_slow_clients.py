"""Clients that send, read or leave slowly: none of them holds a thread, and all are let go in time."""

import json
import os
import random
import re
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from gopher.client import Client
from tests.app.conftest import EMAIL, running_api
from tests.app.hostile import Hostile, memory, send, status_of
from tests.app.slow_clients import (
    BATCH,
    CHUNKED,
    EXPECT,
    HOST,
    JOB,
    JOBS,
    KEY,
    LONG,
    NDJSON,
    READ_KEY,
    READER,
    SECRET,
    SIGN_IN,
    SLOW,
    connect,
    dripping,
    of_length,
    post,
    rest_of,
    say,
)
from tests.helpers import wait_until

#: How many odd beginnings of requests are made up (`make fuzz`: 20,000).
BEGINNINGS = int(os.environ.get("GOPHER_TEST_HOSTILE", "600"))
IS_FUZZ = BEGINNINGS >= 20_000
CONNECTIONS, PROBES = (200, 300) if IS_FUZZ else (40, 40)
#: Seconds after which a probe counts as not answered: much less than slow clients are waited for.
PATIENCE = 10


def variables(namespace, timeout):
    return {
        "GOPHER_NAMESPACE": namespace,
        "GOPHER_API_KEYS": f"shop:{SECRET}:submit,ops:{READER}:read",
        "SERVER_READ_TIMEOUT": timeout,
        "SERVER_WRITE_TIMEOUT": timeout,
        "WEB_CONCURRENCY": "1",
        "GOPHER_STORE": "redis:",
    }


@pytest.fixture(scope="module")
def patient(folder, redis_url):
    """An API with keys that waits longer for slow clients than a test lasts."""
    with running_api(folder, redis_url, **variables("patient", "30s")) as api:
        yield api


@pytest.fixture(scope="module")
def strict(folder, redis_url):
    """One that gives up on them soon."""
    with running_api(folder, redis_url, **variables("strict", "800ms")) as api:
        yield api


def assert_others_are_served(api):
    times = []
    for _ in range(PROBES):
        began = time.monotonic()
        assert api.get("/health/live", timeout=PATIENCE).status_code == 200
        times.append(time.monotonic() - began)
    if IS_FUZZ:
        # Needs a machine that does nothing else.
        assert sorted(times)[PROBES * 99 // 100] < 0.1


@contextmanager
def held(api, firsts, drop):
    """Open connections that begin in the given ways and then drip; they may cost no more than 50 MB together."""
    before = memory(api)
    connections = [connect(api) for _ in firsts]
    try:
        for connection, first in zip(connections, firsts, strict=True):
            say(connection, first)
        with dripping(connections, drop):
            yield
        assert memory(api) - before < 50 * 2**20
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("kind", SLOW.values(), ids=SLOW)
def test_slow_clients_do_not_keep_others_out(patient, kind):
    with held(patient, [kind.first.encode()] * CONNECTIONS, kind.drop):
        assert_others_are_served(patient)


@pytest.mark.parametrize("key", ["", KEY], ids=["strangers", "submitters"])
@pytest.mark.parametrize(
    "framing",
    [of_length(1000), LONG, of_length(900_000), f"{NDJSON}{LONG}", CHUNKED, f"{NDJSON}{CHUNKED}", EXPECT + LONG],
    ids=["short", "zeros", "long", "lines", "chunks", "lines in chunks", "expecting"],
)
def test_slow_clients_of_all_routes_do_not_keep_others_out(patient, framing, key):
    calls = Hostile(seed=1).calls()
    firsts = [f"{method} {path} HTTP/1.1\r\n{HOST}{key}{framing}\r\n".encode() for method, path in calls]
    with held(patient, firsts, b"1"):
        assert_others_are_served(patient)


def test_slow_clients_are_let_go_in_time(folder, redis_url):
    # So many clients at once, and each is told in time what is wrong with its request, also on a busy machine.
    with (
        running_api(folder, redis_url, **variables("let-go", "4s")) as api,
        ThreadPoolExecutor(len(SLOW)) as pool,
    ):
        answers = dict(zip(SLOW, pool.map(partial(answer_to, api), SLOW.values()), strict=True))
    assert {name for name, answer in answers.items() if status_of(answer) not in SLOW[name].statuses} == set()
    for name, answer in answers.items():
        if answer and status_of(answer) != 200 and SIGN_IN not in SLOW[name].first:
            assert_is_a_problem(answer)


def answer_to(api, kind):
    """Return what a slow client is answered until its connection is closed."""
    with connect(api) as connection:
        connection.sendall(kind.first.encode())
        with dripping([connection], kind.drop):
            return rest_of(connection)


def assert_is_a_problem(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert {"error", "code", "details", "request_id"} <= problem.keys()
    assert f"X-Request-ID: {problem['request_id']}".encode() in head


def test_no_odd_beginning_of_a_request_keeps_others_out(patient):
    hostile, chance = Hostile(seed=20261128), random.Random(20261128)
    for _ in range(max(BEGINNINGS // CONNECTIONS, 1)):
        begun = [(connect(patient), hostile.beginning()) for _ in range(CONNECTIONS)]
        try:
            for connection, first in begun:
                say(connection, first)
            with dripping([connection for connection, _ in begun], chance.choice((b"a", b" ", b"0", b"\r\n")), 0.05):
                for _ in range(5):
                    assert patient.get("/health/live", timeout=PATIENCE).status_code == 200, begun
        finally:
            for connection, _ in begun:
                connection.close()
    assert "Traceback" not in patient.log.read_text()


def test_clients_that_read_no_answers_do_not_keep_others_out(patient):
    # Together the answers are more than the kernel keeps for a connection.
    asked = f"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n{HOST}\r\n".encode() * 8
    connections = [connect(patient, receives=4096) for _ in range(CONNECTIONS)]
    try:
        for connection in connections:
            say(connection, asked)
        assert_others_are_served(patient)
    finally:
        for connection in connections:
            connection.close()


def test_a_client_that_reads_no_answer_is_let_go_in_time(strict):
    with connect(strict, receives=4096) as connection:
        connection.sendall(f"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n{HOST}\r\n".encode() * 8)
        process = psutil.Process(strict.process.pid).children()[0]
        ours = connection.getsockname()[1]
        # It has come, and the beginning of an answer with it; by now it may be gone again.
        assert select.select([connection], [], [], 60)[0]
        wait_until(lambda: not [each for each in process.net_connections() if each.raddr and each.raddr.port == ours])


def read_slowly(connection, seconds):
    """Return all that comes, read in more than the given time from its beginning on, and the longest pause (s)."""
    answer, ends_at, looked_at, pause = b"", None, time.monotonic(), 0.0
    try:
        while piece := connection.recv(65536):
            answer += piece
            pause, looked_at = max(pause, time.monotonic() - looked_at), time.monotonic()
            ends_at = ends_at or time.monotonic() + seconds
            if time.monotonic() < ends_at:
                time.sleep(0.02)
            else:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
    except ConnectionResetError:
        pass
    return answer, pause


def test_files_are_sent_as_slowly_as_they_are_read(strict):
    asked = f"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n{HOST}\r\n"
    for _ in range(5):
        with connect(strict, receives=4096) as connection:
            connection.sendall((asked * 7 + asked.replace(HOST, f"{HOST}Connection: close\r\n")).encode())
            # Longer than SERVER_WRITE_TIMEOUT.
            text, pause = read_slowly(connection, 2)
        # Whoever is itself held up, on a busy machine, does not read steadily, and begins anew.
        if pause <= 0.4:
            break
    answers = text.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 8
    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(body) in head


def test_other_answers_have_to_be_read_within_their_time(strict, redis_url):
    with Client(redis_url, namespace="strict") as client:
        for _ in range(4):
            client.enqueue_many([{"type": "email", "payload": {**EMAIL, "body": "x" * 30_000}}] * 100)
    with connect(strict, receives=4096) as connection:
        connection.sendall(f"GET /api/v1/jobs?limit=400 HTTP/1.1\r\n{HOST}{READ_KEY}\r\n".encode())
        head, _, body = read_slowly(connection, 2)[0].partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert length > 12_000_000
    assert len(body) < length


def test_an_answer_that_does_not_fit_into_memory_is_read_as_it_was_written(patient):
    lines, head = (
        30_000,
        post(f"{BATCH}?dry_run=1", NDJSON, KEY, "Accept: application/x-ndjson\r\n", "Connection: close\r\n"),
    )
    body = (JOB + b"\n") * lines
    with connect(patient, receives=4096) as connection:
        connection.sendall(head.replace(NDJSON, NDJSON + of_length(len(body))).encode() + body)
        # The answer is written as a whole before any of it is read.
        wait_until(lambda: sum(spools(patient)) > 1_000_000)
        assert_others_are_served(patient)
        answer = rest_of(connection)
    parts = answer.partition(b"\r\n\r\n")[2].split(b"\r\n")
    text = b"".join(parts[1::2])
    assert [json.loads(line)["line"] for line in text.splitlines()] == list(range(1, lines + 1))
    wait_until(lambda: not spools(patient))


def spools(api):
    """Return the sizes of the temporary files that the API's process has open."""
    (process,) = psutil.Process(api.process.pid).children()
    sizes = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            # gunicorn's own, for its heartbeat, is empty.
            if os.readlink(link).endswith("(deleted)") and (size := link.stat().st_size):
                sizes.append(size)
    return sizes


def cpu(api):
    """Return the CPU seconds that the API's processes have used."""
    processes = [psutil.Process(api.process.pid), *psutil.Process(api.process.pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@pytest.mark.parametrize(("key", "status"), [("", 401), (KEY, 400)], ids=["strangers", "submitters"])
@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"1;a=b\r\na\r\n", b"001\r\na\r\n"])
def test_four_times_as_many_chunks_cost_four_times_as_much(patient, chunk, key, status):
    head, costs = post(JOBS, key, CHUNKED, "Connection: close\r\n").encode(), []
    for count in (20_000, 80_000):
        before = cpu(patient)
        assert status_of(send(patient.base_url.port, head + chunk * count + b"0\r\n\r\n")) == status
        costs.append(cpu(patient) - before)
    # The clock of the system counts by 10 ms.
    assert costs[1] <= 8 * max(costs[0], 0.03)


def numbered(count, *, end=b""):
    """Return what a client sends that uses its connection again and again, and the statuses that it gets."""
    chance = random.Random(count)
    sent, statuses = b"", []
    for number in range(count):
        body = json.dumps({"type": "email", "payload": EMAIL, "metadata": {"n": "x" * number}}).encode()
        head = f"POST {JOBS}?dry_run=1 HTTP/1.1\r\n{HOST}{KEY}".encode()
        match chance.randrange(5):
            case 0:
                sent += f"GET /health/live HTTP/1.1\r\n{HOST}\r\n".encode()
            case 1:
                sent += head + b"Content-Length: %020d\r\n\r\n" % len(body) + body
            case 2:
                sent += head + b"content-length:%d\r\nExpect: 100-continue\r\n\r\n" % len(body) + body
            case 3:
                sent += head + b"Transfer-Encoding: Chunked\r\n\r\n" + in_chunks(chance, body)
            case 4:
                sent += f"POST {BATCH}?dry_run=1 HTTP/1.1\r\n{HOST}{KEY}{NDJSON}{CHUNKED}\r\n".encode()
                sent += in_chunks(chance, (body + b"\n") * (number % 3 + 1))
        statuses.append(b"200")
    return sent + f"GET /nowhere HTTP/1.1\r\n{HOST}{KEY}Connection: close\r\n\r\n".encode() + end, [*statuses, b"403"]


def in_chunks(chance, body):
    sent, at = b"", 0
    while at < len(body):
        size = chance.choice((1, 2, 7, 64, 1000))
        extension = chance.choice((b"", b"", b";a", b' ; a="b;c"'))
        piece = body[at : at + size]
        sent += b"%0*x%b\r\n%b\r\n" % (chance.choice((1, 2, 12)), len(piece), extension, piece)
        at += size
    return sent + chance.choice((b"0\r\n\r\n", b"000;last\r\n\r\n", b"0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"))


@pytest.mark.parametrize("seed", range(6))
def test_requests_in_pieces_are_answered_like_whole_ones(patient, seed):
    sent, statuses = numbered(12 + seed)
    chance = random.Random(seed)
    with connect(patient) as connection:
        at = 0
        while at < len(sent):
            size = chance.choice((1, 1, 3, 50, 700, 5000)) if seed else len(sent)
            connection.sendall(sent[at : at + size])
            at += size
        answers = rest_of(connection)
    assert [each for each in re.findall(rb"HTTP/1\.1 (\d+) ", answers) if each != b"100"] == statuses
    assert answers.count(b'"accepted"') == sent.count(BATCH.encode())


def answer_to_steady(api, head, piece, times, pause):
    """Return the answer to a request whose body comes piece by piece, for longer than the API waits for the next one.

    Whoever is itself held up, on a busy machine, does not send steadily, and begins anew.
    """
    for _ in range(5):
        with connect(api) as connection:
            connection.sendall(head)
            sent_at = [time.monotonic()]
            for _ in range(times):
                say(connection, piece)
                time.sleep(pause)
                sent_at.append(time.monotonic())
            assert sent_at[-1] - sent_at[0] > 0.8
            answer = rest_of(connection)
        if status_of(answer) == 201 or max(after - before for before, after in pairwise(sent_at)) <= 0.4:
            break
    return answer


def test_lines_that_come_slowly_but_steadily_are_taken(strict):
    line = JOB + b"\n"
    head = post(BATCH, NDJSON, KEY, of_length(30 * len(line)), "Connection: close\r\n").encode()
    # Three times the least rate.
    answer = answer_to_steady(strict, head, line, 30, len(line) / 3072)
    assert status_of(answer) == 201
    assert b'"accepted":30' in answer


def test_lines_that_come_too_slowly_are_given_up_and_the_answer_counts_those_stored(strict):
    with connect(strict) as connection:
        connection.sendall(post(BATCH, NDJSON, KEY, of_length(10_000_000)).encode() + (JOB + b"\n") * 1000)
        with dripping([connection], b" "):
            answer = rest_of(connection)
    assert status_of(answer) == 408
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["accepted"] == 1000


def test_who_sends_lines_is_asked_for_them_once_it_is_known(patient):
    head = post(BATCH, NDJSON, "Expect: 100-continue\r\n", of_length(len(JOB)), "Connection: close\r\n")
    with connect(patient) as connection:
        connection.sendall(head.encode())
        assert rest_of(connection).startswith(b"HTTP/1.1 401 ")
    with connect(patient) as connection:
        connection.sendall(head.replace(NDJSON, NDJSON + KEY).encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(JOB)
        assert status_of(rest_of(connection)) == 201


@pytest.mark.parametrize("long", [of_length(1_000_000), f"{EXPECT}{of_length(1000)}"])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (JOBS, "", 401),
        (JOBS, f"{KEY}Content-Type: text/plain\r\n", 415),
        (JOBS, f"{KEY}Content-Encoding: gzip\r\n", 415),
        (JOBS, f"{KEY}Origin: https://evil.example\r\n", 403),
        ("/api/v1/jobs/1/cancel/more", READ_KEY, 404),
        ("/api/v1/queues/default/pause", READ_KEY, 403),
        ("/api/v1/workers", READ_KEY, 405),
    ],
)
def test_a_request_is_checked_before_its_long_body_is_received(patient, path, headers, status, long):
    # None of the body is sent, and the API would wait for it for 30 s.
    with connect(patient) as connection:
        connection.sendall(post(path, headers, long).encode())
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    assert status_of(head) == status
    assert b"Connection: close" in head
    assert_is_a_problem(head + b"\r\n\r\n" + body)


def test_what_clients_have_sent_while_a_process_was_frozen_is_answered(strict):
    (process,) = psutil.Process(strict.process.pid).children()
    with ExitStack() as opened:
        connections = [opened.enter_context(connect(strict)) for _ in range(200)]
        for connection in connections:
            say(connection, f"GET /health/live HTTP/1.1\r\n{HOST}".encode())
        process.suspend()
        try:
            for connection in connections:
                say(connection, b"Connection: close\r\n\r\n")
            # Longer than clients have, and than a busy machine keeps a process waiting.
            time.sleep(3)
        finally:
            process.resume()
        assert {status_of(rest_of(connection)) for connection in connections} == {200}


def test_a_request_that_is_checked_before_its_body_counts_once(folder, redis_url):
    many = json.dumps({"jobs": [{"type": "email", "payload": EMAIL, "queue": "counted"}] * 1000}).encode()
    with running_api(folder, redis_url, **variables("counted", "30s"), GOPHER_API_RATE="100/h") as api:
        for left, expect in ((99, ""), (98, EXPECT)):
            head = post(BATCH, KEY, f"X-Request-ID: once-{left}\r\n", "Connection: close\r\n", expect)
            with connect(api) as connection:
                connection.sendall(head.encode()[:-2] + of_length(len(many)).encode() + b"\r\n")
                connection.sendall(many)
                answer = rest_of(connection)
            assert (status_of(answer), answer.count(b"HTTP/1.1 ")) == (201, 2 if expect else 1)
            assert f"RateLimit-Remaining: {left}\r\n".encode() in answer
            (line,) = [line for line in api.log.read_text().splitlines() if f"once-{left}" in line]
            assert "key=shop" in line
            assert "status=201" in line


@pytest.mark.parametrize(("path", "kind"), [(JOBS, "application/json"), (BATCH, "application/x-ndjson")])
def test_a_client_whose_large_body_is_refused_can_read_why(patient, path, kind):
    answer = patient.post(path, content=b" " * 6_000_000, headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["Connection"]) == (401, "close")


def test_a_client_that_does_not_leave_holds_up_no_stop(folder, redis_url):
    with running_api(folder, redis_url, **variables("stopping", "30s")) as api:
        connections = [connect(api) for _ in range(4)]
        for connection, first in zip(
            connections, ("", "GET /", post(JOBS, LONG), "GET / HTTP/1.0\r\n\r\n"), strict=True
        ):
            say(connection, first.encode())
        # All of them have arrived once what came behind them is answered.
        assert api.get("/health/live").status_code == 200
        started = time.monotonic()
        api.process.terminate()
        assert api.process.wait(20) == 0
        assert time.monotonic() - started < 10
        for connection in connections:
            connection.close()


def test_slow_clients_are_closed_when_a_process_has_too_many_connections(folder, redis_url):
    few = {**variables("few", "30s"), "GUNICORN_CMD_ARGS": "--worker-connections=30"}
    with running_api(folder, redis_url, **few) as api:
        connections = [connect(api) for _ in range(100)]
        for connection in connections:
            say(connection, b"GET /health/li")
        assert_others_are_served(api)
        # It waits for those that came last. Of some that came together, it may have read the first one last.
        served = []
        for connection in connections:
            say(connection, f"ve HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
            served.append(status_of(rest_of(connection)) == 200)
        assert sum(served[50:]) > 20 > 10 > sum(served[:50]), served
        for connection in connections:
            connection.close()


def test_the_largest_requests_are_refused_when_all_together_are_too_large(folder, redis_url):
    with running_api(folder, redis_url, GOPHER_NAMESPACE="large", WEB_CONCURRENCY="1") as api:
        connections = [connect(api) for _ in range(30)]
        for connection in connections:
            connection.sendall(post(JOBS, of_length(2**20)).encode())
            say(connection, b" " * 1_000_000)
        answered = wait_until(lambda: select.select(connections, [], [], 1)[0], 20, "a connection to be refused")
        assert status_of(rest_of(answered[0])) == 503
        assert api.submit(queue="large").status_code == 201
        for connection in connections:
            connection.close()


@pytest.mark.deep
def test_long_bodies_are_kept_on_disk_while_they_arrive(folder, redis_url):
    more = {"SERVER_MAX_BODY": "40MB", "SERVER_READ_TIMEOUT": "60s"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE="disk", WEB_CONCURRENCY="1", **more) as api:
        assert api.submit(queue="large").status_code == 201
        before = memory(api)
        connections = [connect(api) for _ in range(4)]
        for connection in connections:
            connection.settimeout(60)
            connection.sendall(post(JOBS, of_length(40_000_000)).encode() + b" " * 30_000_000)
        # All but what is collected to be written next.
        wait_until(lambda: sum(spools(api)) > 4 * 29_000_000)
        assert memory(api) - before < 10 * 2**20
        for connection in connections:
            connection.close()


UPLOAD = post("/api/v1/files", KEY, "Connection: close\r\n", of_length(100_000)).encode()


def test_an_upload_that_comes_slowly_but_steadily_is_taken(strict):
    # Ten times the least rate, within which the time for an ordinary request ends.
    assert status_of(answer_to_steady(strict, UPLOAD, b"a" * 10_000, 10, 0.1)) == 201


def test_an_upload_that_comes_too_slowly_is_given_up(strict):
    with connect(strict) as connection:
        connection.sendall(UPLOAD + b"a" * 90_000)
        with dripping([connection], b"a"):
            answer = rest_of(connection)
    assert status_of(answer) == 408
    assert b"1024 or more bytes per second" in answer
