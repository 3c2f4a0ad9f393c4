"""Requests that nobody sends by mistake: made from a seed, sent as bytes, so that no client library mends them."""

import json
import random
import re
import socket

import psutil
from gopher.app import openapi

from gopher.jobs.job import new_job_id
from tests.app.calls import APP

BODIES = (
    {"type": "email", "payload": {"to": "user@example.com", "subject": "Hello", "body": "Test email"}},
    {"type": "math", "payload": {"operation": "prime", "number": 97}, "queue": "hostile", "priority": "low"},
    {"type": "math", "payload": {"operation": "prime", "number": 97}, "recurring": {"cron_expression": "0 3 * * *"}},
    {"jobs": [{"type": "report", "payload": {"report_type": "workers"}, "unique_key": "k", "after": [0]}] * 3},
    {"cron_expression": "*/5 * * * *", "type": "cleanup", "payload": {}, "timezone": "Europe/Berlin"},
    {"rate": "10/s", "burst": 20, "concurrency": 4},
    {"type": "email", "error": "ValueError", "limit": 3},
)
TEXTS = (
    *("", " ", "\0", "a\0b", "..", "../../etc/passwd", "{x}", "{{7*7}}", "%s%n", "null", "true", "-1", "1e400", "NaN"),
    *(
        "a\r\nSet-Cookie: x=1",
        "\x1b[2J",
        "\u202egnp.exe",
        "\uff45\uff4d\uff41\uff49\uff4c",
        "é" * 50,
        "😀",
        "'; DROP TABLE jobs --",
    ),
    *("<script>alert(1)</script>", "${jndi:ldap://x}", "a" * 300, "9" * 400, "http://169.254.169.254/", "() { :;};"),
)
VALUES = (*TEXTS, None, True, False, 0, -1, 2**53 + 1, 2**64, -(2**70), 1.5, 1e308, [], {}, [[]], {"": {}}, "x" * 5000)
BROKEN = (
    b"",
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"type":"email","type":"math","payload":{}}',
    b'{"type":"email","payload":{"to":NaN}}',
    b'{"type":"email","payload":{"to":"\\ud800"}}',
    b'{"type":"email","payload":{"n":' + b"7" * 6000 + b"}}",
    b'{"type":"email","payload":' + b"[" * 500 + b"]" * 500 + b"}",
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b'{"jobs":[' + b"{}," * 2000 + b"{}]}",
    b'"' + b"a" * 100_000,
    b"\x1f\x8b\x08\x00junk",
)
METHODS = (*"GET POST PUT DELETE HEAD OPTIONS PATCH TRACE CONNECT BREW get G\u00cbT".split(), "A" * 50)
HEADERS = (
    "Content-Type: text/plain",
    "Content-Type: application/json; charset=utf-16",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Encoding: gzip",
    "Content-Encoding: br, deflate",
    "Prefer: wait=99999999999999999999",
    "Prefer: wait=-1, wait=1;;=,",
    "Idempotency-Key: ",
    "Idempotency-Key: " + "k" * 300,
    "Idempotency-Key: \u00e9\u00ff",
    "X-Request-ID: a b\tc",
    "X-Request-ID: " + "r" * 500,
    "Authorization: Bearer",
    "Authorization: Basic \u00ff\u00ff",
    "Authorization: Bearer " + "s" * 4000,
    "X-API-Key: \u00e9",
    "Origin: null",
    "Origin: https://evil.example",
    "Host: evil.example:99999",
    "Host: [::1",
    "Range: bytes=0-,0-,0-",
    "If-Modified-Since: yesterday",
    "X-HTTP-Method-Override: DELETE",
    "X-Forwarded-For: 127.0.0.1\u00e9",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity, chunked",
    "Expect: 100-continue",
    "Content-Length: 1",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Upgrade: websocket",
    "Cookie: " + "c=1; " * 500,
    "Bad Header",
    " folded: x",
    "X: \0",
)
LENGTHS = (
    *(
        "0",
        "1",
        "1000",
        "0000000000000001000",
        "1048576",
        "1048577",
        "50000000",
        "9999999999999999",
        "9" * 40,
        "9" * 5000,
    ),
    *("+1000", "-1", "1_000", "0x10", "1e3", "1000 ", " 1000", "1000, 1000", "\u00b2", ""),
)
CODINGS = ("chunked", "Chunked", "chunked ", "\tchunked", "identity, chunked", "gzip, chunked", "chunked, chunked", "x")
CHUNKS = (
    *(
        "1000\r\n",
        "0000000fff\r\n",
        "fffffff\r\n",
        "f" * 30 + "\r\n",
        "0",
        "+1\r\n",
        "0x1\r\n",
        "1_0\r\n",
        "zz\r\n",
        "\r\n",
    ),
    *(
        "1\r\na\r\n" * 50,
        "1\na\n",
        "1\r\naX",
        "1;a=",
        '1;a="',
        "1 ;a\r\n",
        "0\r\nX-A: ",
        "0\r\nHost: x\r\n",
        "0\r\n\r\nGET / HT",
    ),
)
KINDS = (
    *(
        "application/json",
        "application/x-ndjson",
        "application/ndjson; charset=utf-8",
        "Application/JSONL",
        "text/plain",
    ),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""),
)
PARAMETERS = ("wait", "dry_run", "status", "type", "queue", "limit", "cursor", "state", "error", "n", "nothing", "")


class Hostile:
    """An endless supply of requests; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        rules = [*APP.url_map.iter_rules()]
        self._calls = [(method, rule.rule) for rule in rules for method in openapi.methods_of(rule)]

    def calls(self) -> list[tuple[str, str]]:
        """Return each method and path once; ids and names of the path are harmless."""
        return [(method, re.sub("<[^>]*>", "nothing", route)) for method, route in self._calls]

    def request(self) -> bytes:
        chance = self._random
        if chance.random() < 0.03:
            # So that something is there to be asked for.
            body = json.dumps(BODIES[1]).encode()
            head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}"
            return head.encode() + b"\r\n\r\n" + body
        method, route = chance.choice(self._calls)
        if chance.random() < 0.1:
            method = chance.choice(METHODS)
        body = self._body() if method in ("POST", "PUT", "PATCH") or chance.random() < 0.05 else b""
        lines = [f"{method} {self._path(route)} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += chance.sample(HEADERS, chance.choice((0, 0, 0, 1, 2)))
        if body and not any(line.startswith(("Transfer-Encoding", "Content-Length")) for line in lines):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body

    def beginning(self) -> bytes:
        """Return how a request begins that never comes to its end, in one of many odd framings."""
        chance = self._random
        method, route = chance.choice(self._calls)
        if chance.random() < 0.2:
            method = chance.choice(METHODS)
        version = chance.choice(("HTTP/1.1",) * 8 + ("HTTP/1.0", "HTTP/2.0", "http/1.1"))
        lines = [f"{method} {self._path(route)} {version}", "Host: localhost", f"Content-Type: {chance.choice(KINDS)}"]
        framing = chance.random()
        if framing < 0.6:
            lines.append(f"Content-Length: {chance.choice(LENGTHS)}")
        if framing > 0.5:
            lines.append(f"Transfer-Encoding: {chance.choice(CODINGS)}")
        if chance.random() < 0.1:
            lines += chance.sample(HEADERS, 1)
        ending = chance.choice(("\r\n",) * 20 + ("\n", "\r", "\r\n "))
        begun = ending.join([*lines, "", ""]) + (chance.choice(CHUNKS) if framing > 0.5 else "")
        if chance.random() < 0.1:
            begun = begun[: chance.randrange(len(begun))]
        if chance.random() < 0.1:
            begun = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + begun
        return begun.encode("latin-1", "replace")

    def _path(self, route: str) -> str:
        path = re.sub("<[^>]*>", lambda _: self._part(), route)
        if self._random.random() < 0.5:
            names = self._random.sample(PARAMETERS, self._random.choice((1, 1, 2)))
            path += "?" + "&".join(f"{name}={self._part()}" for name in names)
        return path[:4000]

    def _part(self) -> str:
        if self._random.random() < 0.3:
            return self._random.choice((new_job_id(), "1", "pending", "email", "default", "nightly"))
        text = self._random.choice(TEXTS)
        return "".join(f"%{byte:02X}" for byte in text.encode()) or "%FF%FE"

    def _body(self) -> bytes:
        if self._random.random() < 0.2:
            return self._random.choice(BROKEN)
        if self._random.random() < 0.2:
            return json.dumps(self._random.choice(BODIES)).encode()
        text = json.dumps(self._mutated(self._random.choice(BODIES)), ensure_ascii=self._random.random() < 0.5)
        data = text.encode("utf-8", "surrogatepass")
        return data[: self._random.randrange(len(data))] if self._random.random() < 0.05 else data

    def _mutated(self, value):
        """Return a value with a part of it, here or further inside, that should not be there."""
        if self._random.random() < 0.25 or not isinstance(value, dict | list) or not value:
            return self._random.choice(VALUES)
        if isinstance(value, list):
            at = self._random.randrange(len(value))
            return [self._mutated(each) if index == at else each for index, each in enumerate(value)]
        name = self._random.choice(list(value))
        changed = {**value, name: self._mutated(value[name])}
        if self._random.random() < 0.2:
            changed[self._random.choice((*TEXTS[:12], "delay", "execute_at", "timeout", "metadata", "retention"))] = (
                self._random.choice(VALUES)
            )
        return changed


def send(port: int, request: bytes, seconds: float = 15) -> bytes:
    """Send bytes and return all that comes back until the connection is closed: b"" for nothing."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while piece := connection.recv(65536):
                answer += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def status_of(answer: bytes) -> int | None:
    """Return the status of an answer, None when there is none. The 100 before another one does not count."""
    found = re.findall(rb"^HTTP/1\.[01] (\d\d\d) ", answer, re.MULTILINE)
    return int(next((each for each in found if each != b"100"), 0)) or None


def memory(api):
    """Return the bytes that the API's processes hold."""
    processes = [api_process := psutil.Process(api.process.pid), *api_process.children(recursive=True)]
    return sum(process.memory_info().rss for process in processes)
