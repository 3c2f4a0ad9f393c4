"""Slow clients: how each kind of them begins, and what they do then."""

import json
import socket
import threading
from contextlib import contextmanager
from typing import NamedTuple

from tests.app.conftest import EMAIL

SECRET, READER = "a-secret-to-submit-with", "a-secret-to-read-with"
HOST = "Host: localhost\r\n"
NDJSON = "Content-Type: application/x-ndjson\r\n"
KEY, READ_KEY = f"Authorization: Bearer {SECRET}\r\n", f"Authorization: Bearer {READER}\r\n"
EXPECT = "Expect: 100-continue\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
JOB = json.dumps({"type": "email", "payload": EMAIL, "queue": "slow"}).encode()


class Kind(NamedTuple):
    """What a connection sends first and then now and then, and the statuses that may come of it, None for no answer."""

    first: str
    drop: bytes = b"a"
    statuses: tuple[int | None, ...] = (408,)


def post(path, *headers, body=""):
    return f"POST {path} HTTP/1.1\r\n{HOST}{''.join(headers)}\r\n{body}"


def of_length(length):
    return f"Content-Length: {length}\r\n"


JOBS, BATCH, SIGN_IN = "/api/v1/jobs", "/api/v1/jobs/batch", "/dashboard/sign-in"
LONG = of_length("0000000000000001000")
#: One byte less than the longest body.
MUCH = "a" * (2**20 - 1)
SLOW = {
    "a body that drips": Kind(post(JOBS, of_length(1000))),
    "nothing at all": Kind("", b"", (None,)),
    "a request line that drips": Kind("GET /health/li"),
    "a head that drips": Kind(f"GET /health/live HTTP/1.1\r\n{HOST}X-A: "),
    "empty lines before the request": Kind("\r", b"\n", (400, 408)),
    "a head that ends its lines otherwise": Kind("GET / HTTP/1.1\nHost: localhost\n", b"\n", (400,)),
    "lines without a key": Kind(post(BATCH, NDJSON, of_length(50_000_000)), b" ", (401,)),
    "lines in chunks without a key": Kind(post(BATCH, NDJSON, CHUNKED, body="ffffff\r\n"), b" ", (401,)),
    "lines with a wrong key": Kind(post(BATCH, NDJSON, "X-API-Key: x\r\n", of_length(50_000_000)), b" ", (401,)),
    "lines that wait to be asked for": Kind(post(BATCH, NDJSON, EXPECT, LONG), b" ", (401,)),
    "lines for a wrong path": Kind(post("/nowhere", NDJSON, of_length(50_000_000)), statuses=(415,)),
    "lines for a wrong method": Kind(post(BATCH, NDJSON, LONG).replace("POST", "PUT"), statuses=(415,)),
    "lines for a call without a key": Kind(post("/health/live", NDJSON, LONG), statuses=(415,)),
    "lines with a GET": Kind(post("/health/live", NDJSON, LONG).replace("POST", "GET"), statuses=(200,)),
    "lines for the sign-in": Kind(post(SIGN_IN, NDJSON, LONG), statuses=(415,)),
    "a length of 19 digits": Kind(post(JOBS, LONG)),
    "a length of 16 digits": Kind(post(JOBS, of_length("9999999999999999")), statuses=(401, 413)),
    "a length of 5,000 digits": Kind(post(JOBS, of_length("9" * 5000)), statuses=(400,)),
    "a length that is none": Kind(post(JOBS, of_length("+1000")), statuses=(400,)),
    "two lengths": Kind(post(JOBS, of_length(1000), of_length(1000)), statuses=(400,)),
    "a chunk's size of 10 digits": Kind(post(JOBS, CHUNKED, body="0000000fff\r\n")),
    "a chunk's size that drips": Kind(post(JOBS, CHUNKED, body="0"), b"0"),
    "a chunk's extension that drips": Kind(post(JOBS, CHUNKED, body="1;a=")),
    "chunks that drip": Kind(post(JOBS, CHUNKED, body="1\r\na\r\n"), b"1\r\na\r\n"),
    "a chunk that is too long": Kind(post(JOBS, CHUNKED, body="fffffff\r\n")),
    "a chunk that is too long, with a key": Kind(post(JOBS, KEY, CHUNKED, body=f"fffffff\r\n{MUCH}"), statuses=(413,)),
    "many small chunks": Kind(post(JOBS, CHUNKED, body="1\r\na\r\n" * 20_000), statuses=(401,)),
    "many small chunks with a key": Kind(post(JOBS, KEY, CHUNKED, body="1\r\na\r\n" * 20_000)),
    "a size of 8,000 digits": Kind(post(JOBS, CHUNKED, body="f" * 8000)),
    "chunk sizes that never end": Kind(post(JOBS, CHUNKED, body="f" * 9000), statuses=(400,)),
    "trailers that drip": Kind(post(JOBS, CHUNKED, body="0\r\nX-A: ")),
    "another transfer coding": Kind(post(JOBS, "Transfer-Encoding: gzip, chunked\r\n"), statuses=(501,)),
    "chunks and a length": Kind(post(JOBS, CHUNKED, LONG), statuses=(400,)),
    "chunks of HTTP/1.0": Kind(post(JOBS, CHUNKED).replace("/1.1", "/1.0"), statuses=(400,)),
    "a body that is too long": Kind(post(JOBS, of_length(5_000_000)), statuses=(401,)),
    "a body that is too long, with a key": Kind(post(JOBS, KEY, of_length(5_000_000)), statuses=(413,)),
    "a long body": Kind(post(JOBS, of_length(1_000_000)), statuses=(401,)),
    "a long body with a key": Kind(post(JOBS, KEY, of_length(1_000_000))),
    "a long body with a key that lacks a byte": Kind(post(JOBS, KEY, of_length(len(MUCH) + 1), body=MUCH), b""),
    "a long body for a wrong path": Kind(post("/nowhere", KEY, of_length(1_000_000)), statuses=(403,)),
    "a long body for a wrong method": Kind(post("/health/live", of_length(1_000_000)), statuses=(401,)),
    "a long body of a kind that is not taken": Kind(
        post(JOBS, KEY, "Content-Type: text/plain\r\n", of_length(1_000_000)), statuses=(415,)
    ),
    "a long body for the sign-in": Kind(
        post(SIGN_IN, "Content-Type: application/x-www-form-urlencoded\r\n", of_length(1_000_000)), statuses=(413,)
    ),
    "a form for the sign-in that waits to be asked for and is long": Kind(
        post(SIGN_IN, "Content-Type: application/x-www-form-urlencoded\r\n", EXPECT, CHUNKED, body=f"1ffff\r\n{MUCH}"),
        statuses=(413,),
    ),
    "a long body with a GET": Kind(post("/health/live", of_length(1_000_000)).replace("POST", "GET"), statuses=(413,)),
    "a body that waits to be asked for": Kind(post(JOBS, EXPECT, of_length(1000)), statuses=(401,)),
    "a body that waits to be asked for, with a key": Kind(post(JOBS, KEY, EXPECT, of_length(1000))),
    "a head that lacks its end": Kind(f"GET / HTTP/1.1\r\n{HOST}" + f"X-A: {'a' * 8000}\r\n" * 7, b""),
    "a head that never ends": Kind(f"GET / HTTP/1.1\r\n{HOST}" + f"X-A: {'a' * 8000}\r\n" * 9, statuses=(431,)),
    "a field that never ends": Kind(f"GET / HTTP/1.1\r\n{HOST}X-A: {'a' * 9000}", statuses=(431,)),
    "a URL that never ends": Kind(f"GET /{'a' * 5000}", statuses=(414,)),
    "a form for the sign-in": Kind(post(SIGN_IN, "Content-Type: application/x-www-form-urlencoded\r\n", LONG)),
    "a GET with a body": Kind(post("/health/live", LONG).replace("POST", "GET")),
    "a second request that drips": Kind(f"GET /health/live HTTP/1.1\r\n{HOST}\r\nGET /health", statuses=(200,)),
    "a client that never leaves": Kind("GET /health/live HTTP/1.0\r\n\r\n", statuses=(200,)),
    "a method that is none": Kind(post(JOBS, LONG).replace("POST", "post"), statuses=(400,)),
    "no host": Kind(post(JOBS, LONG).replace(HOST, ""), statuses=(400,)),
    "lines with a key": Kind(post(BATCH, NDJSON, KEY, of_length(50_000_000)), b" ", (408, 503)),
    "lines in chunks with a key": Kind(post(BATCH, NDJSON, KEY, CHUNKED), b"1\r\n \r\n", (408, 503)),
}


def connect(api, receives=None):
    connection = socket.socket()
    if receives is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", api.base_url.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def say(connection, data):
    try:
        connection.sendall(data)
    except OSError:
        pass


def rest_of(connection):
    """Return all that comes until the other side closes."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


@contextmanager
def dripping(connections, drop, every=0.1):
    """Send a drop on each connection now and then."""
    stop = threading.Event()

    def drip():
        while not stop.wait(every):
            for connection in connections:
                say(connection, drop)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
