"""Times that something took are told to the microsecond: no view shows what is left over of dividing by a thousand."""

import json
import re

import msgspec
import pytest

from gopher.base.durations import in_seconds, parse_duration
from gopher.handlers.figures import collect
from gopher.jobs.job import State
from gopher.queue.arguments import Completion
from tests.app.installation import PAGES
from tests.app.test_corrupt_rows import Installation

#: Milliseconds that are no thousandths of a float.
ODD = [0.344, 0.349, 1.001, 1.003, 4.035, 8.115, 1234.567]
ODDITY = re.compile(r"\d\.\d{7,}(?!\d*e\+)|\d[eE]-\d")
#: What counts the requests of the API itself adds up seconds of Python's clock.
OWN_CLOCK = "gopher_api_request_duration_seconds"


@pytest.fixture
def installation(redis_url, namespace):
    """Jobs that took odd times, ended in each way, of types with odd limits."""
    made = Installation(redis_url, namespace)
    for took in ODD:
        made.client.enqueue("math", {"operation": "prime", "number": 7}, timeout="1.1ms", retention="90.7s")
        (job,) = made.worker.fetch()
        done = Completion(job.id, job.token, took, b"true", b"")
        assert made.client.server.run(made.worker.queue.complete(made.worker.name, [done])) == ["OK"]
    for state in ("processing", "retrying", "failed", "scheduled", "pending"):
        made.job_in(State(state))
    made.client.flow.set_limit("math", "1/7s", 2.5, None)
    yield made
    made.client.close()


def oddities(text: str) -> list[str]:
    """Return the numbers in a JSON text, or at the ends of lines, that have more than six digits behind the point."""
    numbers: list[str] = []
    if text.startswith("{"):
        json.JSONDecoder(parse_float=numbers.append).raw_decode(text)
    else:
        numbers = [line.rpartition(" ")[2] for line in text.splitlines()]
    return [number for number in numbers if ODDITY.search(number)]


def test_every_route_that_is_read_tells_rounded_times(installation):
    paths = [path for path in PAGES if path.startswith(("/api/", "/health"))]
    rows = installation.get("/api/v1/jobs?limit=100")["jobs"]
    assert {row["duration"] for row in rows} >= {in_seconds(took) for took in ODD}
    paths += [f"/api/v1/jobs/{row['job_id']}{part}" for row in rows for part in ("", "/why", "/logs")]
    paths += ["/api/v1/timeline?window=1h", "/api/v1/timeline?window=90.7s", "/api/v1/types/math/stats"]
    assert len(paths) > 20
    found = {}
    for path in paths:
        with installation.api.get(path) as answer:
            found[path] = oddities(answer.get_data().decode())
    assert not {path: each for path, each in found.items() if each}


def test_the_figures_for_prometheus_are_rounded(installation):
    with installation.api.get("/metrics") as answer:
        lines = answer.get_data().decode().splitlines()
    ours = [line for line in lines if line.startswith("gopher_") and not line.startswith(OWN_CLOCK)]
    assert any("gopher_job_duration" in line or "duration_seconds_sum" in line for line in ours)
    assert not oddities("\n".join(ours))


@pytest.mark.parametrize(
    "command", ["jobs", "stats", "limits", "types", "workers", "list-failed", "health", "schedules", "redrives"]
)
def test_what_commands_say_in_json_is_rounded(installation, command):
    text = installation.run(command, "--json")
    assert text.startswith("{")
    assert not oddities(text)


def test_a_job_says_rounded_times_on_the_command_line_and_to_a_client(installation):
    for row in installation.get("/api/v1/jobs?limit=100")["jobs"]:
        assert not oddities(installation.run("job", row["job_id"], "--json"))
        assert not oddities(msgspec.json.encode(installation.client.job(row["job_id"])).decode())


def test_reports_have_rounded_figures(installation):
    assert not oddities(msgspec.json.encode(collect(installation.client.server)).decode())


def test_seconds_of_milliseconds_are_told_to_the_microsecond():
    assert [in_seconds(took) for took in ODD] == [
        0.000344,
        0.000349,
        0.001001,
        0.001003,
        0.004035,
        0.008115,
        1.234567,
    ]
    assert parse_duration("1.1ms") == 0.0011
