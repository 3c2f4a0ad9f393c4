"""With GOPHER_URL set, commands go over the API, and answer as they do on the server itself."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from gopher.cli.main import run as run_command

from gopher.client import Client
from gopher.jobs.loading import load_handlers
from tests.app.conftest import Api, running_api
from tests.app.document import only_shipped_handlers
from tests.docs.console import stable
from tests.seeding import SeedingWorker

from .conftest import Answer

Say = Callable[..., Answer]

DIGITS = '{"operation":"prime","number":618970019642690137449562111}'
PRIME = '{"operation": "prime", "number": 7}'


@pytest.fixture(scope="module")
def http_namespace() -> str:
    return f"http-{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, redis_url: str, http_namespace: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("http")
    keys = "boss:sesame:admin,viewer:look:read,shop:sell:submit"
    with running_api(folder, redis_url, GOPHER_NAMESPACE=http_namespace, GOPHER_API_KEYS=keys) as api:
        yield api


@pytest.fixture(autouse=True)
def only_what_is_shipped() -> Iterator[None]:
    """The API's process knows the shipped handlers; this one has perhaps run tests that have registered others."""
    load_handlers(["gopher.handlers"])
    with only_shipped_handlers():
        yield


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process, for speed; keywords are variables of its environment."""

    def _say(*arguments: str, **variables: str) -> Answer:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = run_command(arguments)
        told = capfd.readouterr()
        return Answer(code, told.out, told.err)

    return _say


def over_http(api: Api, key: str = "sesame") -> dict[str, str]:
    # A server that is not there: no command may fall back on it.
    return {"GOPHER_URL": str(api.base_url), "GOPHER_API_KEY": key, "REDIS_URL": "redis://127.0.0.1:1"}


class Tour:
    """Every command, one after the other; what each has said."""

    def __init__(self, say: Say, client: Client, folder: Path, **variables: str) -> None:
        self._say = say
        self._client = client
        self._folder = folder
        self._variables = variables
        self.said: list[tuple[str, int, str, str]] = []

    def tell(self, *arguments: str) -> Answer:
        answer = self._say(*arguments, **self._variables)
        words = " ".join(arguments)
        if words == "list-failed":
            # They died in the same millisecond: which comes first is by chance.
            answer.out = "\n".join(sorted(answer.out.splitlines(), key=stable))
        self.said.append((_plain(words), answer.code, _plain(answer.out), _plain(answer.err)))
        return answer

    def go(self) -> None:
        self.submitting()
        self.looking()
        self.acting()
        self.dead_letters()
        self.flow()
        self.schedules()
        self.fleet()

    def submitting(self) -> None:
        tell = self.tell
        tell("submit", "-t", "math", "-p", DIGITS, "--metadata", '{"n": 1}', "--delay", "1h", "--json")
        tell("submit", "-t", "math", "-p", PRIME, "--unique-key", "one", "--delay", "1h")
        tell("submit", "-t", "math", "-p", PRIME, "--unique-key", "one", "--delay", "1h")
        tell("submit", "-t", "math", "-p", PRIME, "--dry-run")
        tell("submit", "-t", "nope")
        tell("submit", "-t", "math", "-p", '{"operation": "prime"}')
        tell("submit", "-t", "math", "-p", PRIME, "--delay", "soon")
        tell("submit", "-t", "math", "-p", PRIME, "--wait", "10ms", "--json")
        lines = [json.dumps({"type": "math", "payload": json.loads(PRIME)})] * 5
        lines[2] = '{"type": "math", "payload": {"number": 1}}'
        path = self._folder / "jobs.jsonl"
        path.write_text("\n".join(lines))
        tell("submit-many", str(path), "--key", "monday")
        # No JSON, two values, a name twice, a type that is not there, a parent that is not there.
        lines += ['{"type": "math"', f"{lines[0]},{lines[0]}", '{"type": "math", "type": "math", "payload": {}}']
        orphan = {"type": "math", "payload": json.loads(PRIME), "after": ["019f0000-0000-7000-8000-000000000000"]}
        lines += ['{"type": "nope", "payload": {}}', json.dumps(orphan)]
        path.write_text("\n".join(lines))
        tell("submit-many", str(path), "--key", "monday", "--skip-bad", "--json")
        tell("submit-many", str(path), "--key", "monday", "--skip-bad")

    def looking(self) -> None:
        tell = self.tell
        for filters in ([], ["--status", "scheduled"], ["--type", "email"], ["--queue", "nowhere"]):
            tell("jobs", *filters)
        page = tell("jobs", "--limit", "1", "--json").json
        tell("jobs", "--limit", "1", "--cursor", page["next_cursor"])
        tell("jobs", "--cursor", "nonsense")
        worker = SeedingWorker(self._client)
        (job,) = worker.fetch()
        worker.complete([job], b'{"n":618970019642690137449562111}', b'[[1790000000000,"a line"]]')
        for command in ("job", "wait", "logs", "why"):
            tell(command, job.id)
            tell(command, job.id, "--json")
            tell(command, "019f0000-0000-7000-8000-000000000000")
            tell(command, "no/such?job#1")

    def acting(self) -> None:
        tell, scheduled = self.tell, self._client.jobs(status="scheduled").jobs[0].job_id
        tell("why", scheduled)
        tell("cancel", scheduled)
        tell("cancel", scheduled)
        tell("cancel", "nope")
        tell("purge", "-q", "scheduled", "--yes")
        tell("purge", "-q", "main", "--queue", "nowhere", "--yes")

    def dead_letters(self) -> None:
        tell, worker = self.tell, SeedingWorker(self._client)
        dead = worker.fetch(3)
        for job, error in zip(dead, ("ValueError", "KeyError", "KeyError"), strict=True):
            worker.dead_letter(job, error)
        tell("list-failed")
        tell("list-failed", "--error", "KeyError", "--json")
        tell("list-failed", "--groups")
        tell("list-failed", "--queue", "default", "--group", "none")
        tell("retry", "-i", dead[0].id)
        tell("retry", "-i", dead[0].id)
        tell("retry", "-i", "nope")
        tell("discard", "-i", dead[1].id, "--yes", "--json")
        tell("retry-all", "--type", "email")
        tell("retry-all", "--error", "KeyError", "--canary", "1", "--rate", "5/s")
        tell("retry-all", "--error", "KeyError", "--rate", "fast")
        tell("redrives")
        tell("retries")
        tell("redrives", "stop", self.tell("redrives", "--json").json["redrives"][0]["redrive_id"])
        tell("redrives", "stop", "nope")
        tell("retry-all", "--error", "KeyError", "--limit", "5")
        tell("purge", "-q", "failed", "--error", "KeyError", "--yes")

    def flow(self) -> None:
        tell = self.tell
        for command in ("pause", "pause", "resume", "resume"):
            tell(command, "--queue", "default")
            tell(command, "--type", "email", "--json")
        tell("limits", "set", "email", "--rate", "10/s", "--concurrency", "4")
        tell("limits", "set", "email", "--rate", "fast")
        tell("limits", "set", "email")
        tell("limits")
        tell("limits", "--json")
        tell("limits", "clear", "email")
        tell("limits", "clear", "email")
        tell("limits")

    def schedules(self) -> None:
        tell = self.tell
        add = ("schedules", "add", "nightly", "-t", "cleanup", "--cron")
        tell("schedules")
        for expression in ("0 0 * * *", "0 0 * * *", "5 0 * * *", "never"):
            tell(*add, expression)
        tell("schedules", "add", "bad", "-t", "nope", "--cron", "@daily")
        tell("submit", "-t", "cleanup", "--cron", "@hourly", "--name", "hourly")
        tell("submit", "-t", "cleanup", "-p", '{"x": 1}', "--cron", "@hourly")
        for command in ("show", "preview", "pause", "show", "resume", "run"):
            tell("schedules", command, "nightly")
            tell("schedules", command, "nothing")
        tell("schedules", "--json")
        tell("schedules", "delete", "nightly", "--yes")
        tell("schedules", "delete", "nightly", "--yes")

    def fleet(self) -> None:
        for command in ("types", "stats", "workers", "health"):
            self.tell(command)
            self.tell(command, "--json")
        self.tell("types", "math")
        self.tell("types", "nope")


def _plain(text: str) -> str:
    """Return a text without what differs from one run to the next."""
    measured = re.sub(r'"(oldest_waiting_age|latency_ms|duration|memory_bytes)":[\d.e-]+', r'"\1":0', text)
    # Over HTTP a job belongs to the name of the key.
    measured = re.sub(r'^owner .*\n|(?<="owner":)"\w*"', "", measured, flags=re.MULTILINE)
    measured = re.sub(r"\b\d{13}-[0-9a-f]{12}\b", "<version>", measured)
    return re.sub(r"W[\w-]{60,}", "<cursor>", stable(measured))


def test_every_command_answers_the_same_both_ways(
    say: Say, api: Api, redis_url: str, namespace: str, http_namespace: str, tmp_path: Path
) -> None:
    with Client(redis_url, namespace=namespace) as client:
        ours = Tour(say, client, tmp_path, REDIS_URL=redis_url, GOPHER_NAMESPACE=namespace)
        ours.go()
    with Client(redis_url, namespace=http_namespace) as client:
        theirs = Tour(say, client, tmp_path, **over_http(api))
        theirs.go()
    assert len(ours.said) > 90
    differences = [pair for pair in zip(ours.said, theirs.said, strict=True) if pair[0] != pair[1]]
    assert not differences


@pytest.mark.parametrize("payload", ["{operation: prime}", '{"operation":"prime","number":7},"delay":"1h"', ""])
def test_a_payload_that_is_no_json_is_refused_as_that_and_can_not_change_the_rest_of_the_body(
    say: Say, api: Api, payload: str
) -> None:
    for answer in (
        say("submit", "-t", "math", "-p", payload, **over_http(api)),
        say("schedules", "add", "odd", "--cron", "@daily", "-t", "math", "-p", payload, **over_http(api)),
    ):
        assert answer.code == 2
        assert "Error: -p: " in answer.err
        assert "In a shell, put JSON in single quotes." in answer.err


def test_a_key_that_is_not_known_is_told_with_the_variable_to_look_at(say: Say, api: Api) -> None:
    for key in ("wrong", ""):
        answer = say("stats", **over_http(api, key))
        assert (answer.code, answer.out) == (1, "")
        assert "Check GOPHER_API_KEY" in answer.err


def test_a_key_may_do_what_its_role_covers(say: Say, api: Api) -> None:
    assert say("stats", **over_http(api, "look")).code == 0
    answer = say("retry-all", **over_http(api, "look"))
    assert answer.code == 1
    assert "'viewer' has the role read: this requires admin" in answer.err


def test_a_key_that_may_only_submit_does_all_with_its_own_jobs(say: Say, api: Api) -> None:
    shop, boss = over_http(api, "sell"), over_http(api)
    prime = ("submit", "-t", "math", "-p", PRIME, "--queue", "own", "--delay", "1h", "--json")
    own, theirs = (say(*prime, **who).json["job_id"] for who in (shop, boss))
    assert say("job", own, "--json", **shop).json["owner"] == "shop"
    for command in (("logs",), ("why",), ("wait", "--timeout", "10ms")):
        assert say(command[0], own, *command[1:], **shop).err.count("Error") == 0
    for command in ("job", "logs", "why", "wait", "cancel"):
        answer = say(command, theirs, **shop)
        assert answer.code == 1
        assert answer.err.startswith(f"Error: there is no job {theirs}, or its record has expired")
    assert say("cancel", own, **shop).code == 0
    assert say("job", theirs, "--json", **boss).json["status"] == "scheduled"


def test_an_unavailable_api_is_reported_with_its_address(say: Say) -> None:
    answer = say("stats", GOPHER_URL="http://127.0.0.1:1")
    assert answer.code == 1
    assert "the API at http://127.0.0.1:1 is unreachable" in answer.err
    assert "Check GOPHER_URL" in answer.err


@contextmanager
def something_else(status: int, headers: dict[str, str]) -> Iterator[str]:
    """Run a web server that is no Gopher."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (200, {}, "responded with 200"),
        (502, {}, "responded with 502"),
        (301, {"Location": "https://there/"}, "a redirect to https://there/"),
    ],
)
def test_an_address_where_no_gopher_is_is_told(say: Say, status: int, headers: dict[str, str], told: str) -> None:
    with something_else(status, headers) as url:
        answer = say("stats", GOPHER_URL=url)
    assert answer.code == 1
    assert told in answer.err
    assert "this is not a Gopher API" in answer.err


@pytest.mark.parametrize("command", ["up", "web", "worker", "scheduler"])
def test_what_needs_the_server_says_so(say: Say, api: Api, command: str) -> None:
    answer = say(command, GOPHER_URL=str(api.base_url))
    assert answer.code == 2
    assert "needs the server itself" in answer.err


def test_doctor_examines_over_http_what_the_api_can_tell(say: Say, api: Api) -> None:
    answer = say("doctor", "--json", **over_http(api))
    verdicts = {check["name"]: check["verdict"] for check in answer.json["checks"]}
    assert answer.code == 1
    assert {name: verdicts[name] for name in ("server", "writes", "scheduler", "workers")} == {
        "server": "skipped", "writes": "ok", "scheduler": "finding", "workers": "finding",
    }  # fmt: skip


def test_a_redis_url_on_the_command_line_wins(say: Say, redis_url: str, namespace: str) -> None:
    answer = say(
        "stats", "--redis-url", redis_url, GOPHER_URL="http://127.0.0.1:1", GOPHER_NAMESPACE=namespace, REDIS_URL=""
    )
    assert answer.code == 0


@pytest.mark.parametrize("url", ["ftp://there", "http://", "http://user:pw@there", "there:80"])
def test_an_address_that_can_not_be_used_is_refused(say: Say, url: str) -> None:
    answer = say("stats", GOPHER_URL=url)
    assert answer.code == 1
    assert "GOPHER_URL" in answer.err
