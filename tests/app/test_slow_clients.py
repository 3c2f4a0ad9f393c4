"""Clients that send, read or leave slowly: none of them holds a thread, and all are let go in time."""

import json
import os
import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.app.conftest import EMAIL, running_api
from tests.app.hostile import Hostile, send, status_of
from tests.app.slow_clients import (
    BATCH,
    CHUNKED,
    HOST,
    JOB,
    JOBS,
    KEY,
    LONG,
    NDJSON,
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
CONNECTIONS = PROBES = 40
#: Seconds after which a probe counts as not answered: much less than slow clients are waited for.
PATIENCE = 5


def variables(namespace, timeout):
    return {
        "GOPHER_NAMESPACE": namespace,
        "GOPHER_API_KEYS": f"shop:{SECRET}:submit",
        "SERVER_READ_TIMEOUT": timeout,
        "SERVER_WRITE_TIMEOUT": timeout,
        "WEB_CONCURRENCY": "1",
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
    for _ in range(PROBES):
        assert api.get("/health/live", timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("kind", SLOW.values(), ids=SLOW)
def test_forty_slow_clients_do_not_keep_others_out(patient, kind):
    connections = [connect(patient) for _ in range(CONNECTIONS)]
    try:
        for connection in connections:
            say(connection, kind.first.encode())
        with dripping(connections, kind.drop):
            assert_others_are_served(patient)
    finally:
        for connection in connections:
            connection.close()


def test_slow_clients_are_let_go_in_time(strict):
    with ThreadPoolExecutor(len(SLOW)) as pool:
        answers = dict(zip(SLOW, pool.map(partial(answer_to, strict), SLOW.values()), strict=True))
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


def test_forty_clients_that_read_no_answers_do_not_keep_others_out(patient):
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
        wait_until(lambda: [each for each in process.net_connections() if each.raddr and each.raddr.port == ours])
        wait_until(lambda: not [each for each in process.net_connections() if each.raddr and each.raddr.port == ours])


def test_a_client_that_reads_slowly_gets_all_of_its_answer(strict):
    with connect(strict, receives=4096) as connection:
        connection.sendall(f"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
        answer, started = b"", time.monotonic()
        while piece := connection.recv(65536):
            answer += piece
            # Longer than SERVER_WRITE_TIMEOUT in all.
            time.sleep(0.002 if time.monotonic() - started < 2 else 0)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert time.monotonic() - started > 0.8


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


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"1;a=b\r\na\r\n", b"001\r\na\r\n"])
def test_four_times_as_many_chunks_cost_four_times_as_much(patient, chunk):
    head, costs = post(JOBS, CHUNKED, "Connection: close\r\n").encode(), []
    for count in (20_000, 80_000):
        before = cpu(patient)
        assert status_of(send(patient.base_url.port, head + chunk * count + b"0\r\n\r\n")) == 401
        costs.append(cpu(patient) - before)
    # The clock of the system counts by 10 ms.
    assert costs[1] <= 5 * max(costs[0], 0.03)


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


def test_lines_that_come_slowly_but_steadily_are_taken(strict):
    line = JOB + b"\n"
    with connect(strict) as connection:
        connection.sendall(post(BATCH, NDJSON, KEY, of_length(30 * len(line)), "Connection: close\r\n").encode())
        started = time.monotonic()
        for _ in range(30):
            connection.sendall(line)
            # Three times the least rate.
            time.sleep(len(line) / 3072)
        assert time.monotonic() - started > 0.8
        answer = rest_of(connection)
    assert status_of(answer) == 201
    assert b'"accepted":30' in answer


def test_lines_that_come_too_slowly_are_given_up_and_the_answer_says_how_far_it_came(strict):
    with connect(strict) as connection:
        connection.sendall(post(BATCH, NDJSON, KEY, of_length(10_000_000)).encode() + (JOB + b"\n") * 1000)
        with dripping([connection], b" "):
            answer = rest_of(connection)
    assert status_of(answer) == 408
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["accepted"] == 1000


def test_who_sends_lines_is_asked_for_them_once_it_is_known(strict):
    head = post(BATCH, NDJSON, "Expect: 100-continue\r\n", of_length(len(JOB)), "Connection: close\r\n")
    with connect(strict) as connection:
        connection.sendall(head.encode())
        assert rest_of(connection).startswith(b"HTTP/1.1 401 ")
    with connect(strict) as connection:
        connection.sendall(head.replace(NDJSON, NDJSON + KEY).encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(JOB)
        assert status_of(rest_of(connection)) == 201


@pytest.mark.parametrize(("path", "kind"), [(JOBS, "application/json"), (BATCH, "application/x-ndjson")])
def test_who_sends_much_in_vain_reads_why(patient, path, kind):
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


def test_the_largest_requests_give_way_when_all_together_are_too_large(folder, redis_url):
    with running_api(folder, redis_url, GOPHER_NAMESPACE="large", WEB_CONCURRENCY="1", SERVER_MAX_BODY="40MB") as api:
        connections = [connect(api) for _ in range(4)]
        for connection in connections:
            connection.sendall(post(JOBS, of_length(40_000_000)).encode())
            say(connection, b" " * 30_000_000)
        assert api.submit(queue="large").status_code == 201
        for connection in connections:
            connection.shutdown(socket.SHUT_WR)
        statuses = [status_of(rest_of(connection)) for connection in connections]
        for connection in connections:
            connection.close()
    assert 503 in statuses
