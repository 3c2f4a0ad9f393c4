"""Every call of the API, every page and every command answers on a cluster. Taken from the application itself, so that
a new one can't be forgotten: those that need something said to them have it here.
"""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from gopher.app import create_app
from gopher.cli import debug, flow, main, schedules
from gopher.cli.redrives import redrives, retries

from gopher.config.settings import Settings
from tests.helpers import wait_until
from tests.topologies.stack import QUEUES, Stack

JOB = {"type": "math", "payload": {"operation": "prime", "number": 97}}
SCHEDULE = {"cron_expression": "0 3 1 1 *", "type": "math", "payload": JOB["payload"]}


class Here:
    """A running stack on a cluster, and jobs in any state."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.client = stack, stack.client
        self.http = httpx.Client(base_url=stack.address, timeout=30, headers={"Origin": stack.address})

    def submit(self, **fields: Any) -> str:
        return str(self.http.post("/api/v1/jobs", json={**JOB, **fields}).raise_for_status().json()["job_id"])

    def done(self) -> str:
        """Return a job that has completed, in a queue that is not the first."""
        job_id = self.submit(queue="sms")
        assert self.client.wait(job_id, 20).status == "completed"
        return job_id

    def delayed(self) -> str:
        return self.submit(queue="images", delay="1h")

    def dead(self) -> str:
        job_id = self.submit(type="faults.stumble", payload={"how": "error"}, queue="mail", max_retries=0)
        assert self.client.wait(job_id, 20).status == "failed"
        return job_id

    def redrive(self) -> str:
        """Return a gradual redrive of dead letters."""
        self.dead()
        self.dead()
        answer = self.http.post("/api/v1/dlq/retry-all", json={"queue": "mail", "rate": "1/h"}).raise_for_status()
        return str(answer.json()["redrive_id"])

    def schedule(self) -> str:
        self.http.put("/api/v1/schedules/yearly", json=SCHEDULE).raise_for_status()
        return "yearly"

    def token(self) -> str:
        """Return what the dashboard's forms carry."""
        found = re.search(r'name="token" value="(\w+)"', self.http.get("/dashboard/limits").text)
        assert found
        return found[1]


@pytest.fixture(scope="module")
def here(cluster_stack):
    here = Here(cluster_stack)
    yield here
    here.http.close()


#: Route -> what makes the job of its `job_id`; one that has completed where nothing is said.
JOBS: dict[str, Callable[[Here], str]] = {
    "/api/v1/dlq/<job_id>": Here.dead,
    "/api/v1/dlq/<job_id>/retry": Here.dead,
    "/api/v1/jobs/<job_id>": Here.delayed,
    "/api/v1/jobs/<job_id>/cancel": Here.delayed,
    "/dashboard/jobs/<job_id>/cancel": Here.delayed,
    "/dashboard/jobs/<job_id>/discard": Here.dead,
    "/dashboard/jobs/<job_id>/retry": Here.dead,
}
PARTS: dict[str, Callable[[Here], str]] = {
    "queue": lambda here: "mail",
    "job_type": lambda here: "math",
    "redrive_id": Here.redrive,
    "retry_id": Here.redrive,
    "name": Here.schedule,
}
#: What is sent, and what is asked for.
SENT: dict[str, dict[str, Any]] = {
    "POST /api/v1/jobs": {"json": JOB, "params": {"wait": "10"}},
    "POST /api/v1/jobs/batch": {"json": {"jobs": [{**JOB, "queue": queue} for queue in QUEUES]}},
    "POST /api/v1/dlq/retry-all": {"json": {"queue": "mail"}},
    "PUT /api/v1/limits/<job_type>": {"json": {"rate": "1000/s"}},
    "PUT /api/v1/schedules/<name>": {"json": SCHEDULE},
    "DELETE /api/v1/queues/<queue>": {"params": {"state": "scheduled"}},
    "GET /api/v1/jobs/<job_id>": {"params": {"wait": "1"}},
    "POST /dashboard/dead/retry": {"data": {"which": "all"}},
    "POST /dashboard/dead/discard": {"data": {"which": "all"}},
    "POST /dashboard/limits/set": {"data": {"type": "math", "rate": "1000/s"}},
    "POST /dashboard/limits/clear": {"data": {"type": "math"}},
    "POST /dashboard/types/pause": {"data": {"type": "cleanup"}},
    "POST /dashboard/types/resume": {"data": {"type": "cleanup"}},
    "POST /dashboard/queues/<queue>/purge": {"data": {"state": "scheduled"}},
}
#: Those that read nothing of the server.
STATIC = {"/docs/<name>", "/dashboard/static/<digest>/<path:name>", "/dashboard/<path:rest>", "/dashboard/sign-in"}
ROUTES = sorted(
    (method, rule.rule)
    for rule in create_app(Settings()).url_map.iter_rules()
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    if rule.rule not in STATIC
)


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=map(" ".join, ROUTES))
def test_the_api_answers(here, method, route):
    def part(found: re.Match[str]) -> str:
        make = JOBS.get(route, Here.done) if found[1] == "job_id" else PARTS[found[1]]
        return make(here)

    path = re.sub(r"<(\w+)>", part, route)
    sent = dict(SENT.get(f"{method} {route}", {}))
    if method == "POST" and route.startswith("/dashboard/"):
        sent["data"] = {**sent.get("data", {}), "token": here.token()}
    answer = here.http.request(method, path, **sent)
    assert answer.status_code < 400, answer.text
    if answer.headers["Content-Type"] == "application/json":
        assert answer.json().get("status") != "unhealthy"


#: Command -> its arguments, or what makes them.
COMMANDS: dict[str, Callable[[Here], list[str]]] = {
    "submit": lambda here: ["-t", "math", "-p", '{"operation": "prime", "number": 97}', "--queue", "mail", "--wait"],
    "job": lambda here: [here.done()],
    "jobs": lambda here: ["--queue", "mail"],
    "wait": lambda here: [here.done()],
    "cancel": lambda here: [here.delayed()],
    "logs": lambda here: [here.done()],
    "why": lambda here: [here.delayed()],
    "stats": lambda here: [],
    "workers": lambda here: [],
    "types": lambda here: [],
    "health": lambda here: [],
    "doctor": lambda here: ["--deep"],
    "list-failed": lambda here: ["--groups"],
    "retry": lambda here: ["-i", here.dead()],
    "retry-all": lambda here: ["--queue", "mail"],
    "redrives list": lambda here: [],
    "redrives stop": lambda here: [here.redrive()],
    "retries list": lambda here: [],
    "retries stop": lambda here: [here.redrive()],
    "discard": lambda here: ["-y", "-i", here.dead()],
    "purge": lambda here: ["-y", "-q", "scheduled", "--queue", "images"],
    "pause": lambda here: ["--type", "cleanup"],
    "resume": lambda here: ["--type", "cleanup"],
    "limits list": lambda here: [],
    "limits set": lambda here: ["math", "--rate", "1000/s"],
    "limits clear": lambda here: ["math"],
    "schedules add": lambda here: ["daily", "--cron", "@daily", "-t", "cleanup"],
    "schedules delete": lambda here: ["-y", here.schedule()],
    "schedules list": lambda here: [],
    "schedules pause": lambda here: [here.schedule()],
    "schedules preview": lambda here: [here.schedule()],
    "schedules resume": lambda here: [here.schedule()],
    "schedules run": lambda here: [here.schedule()],
    "schedules show": lambda here: [here.schedule()],
    "completion": lambda here: ["bash"],
    "debug crash-points": lambda here: [],
}
#: Those that run on or take long: tests of their own.
RUNNING = {"up", "web", "worker", "scheduler", "submit-many", "bench"}
#: Those that ask no server: tests of their own.
ALONE = {"check"}
GROUPS = {
    "limits": flow.limits,
    "schedules": schedules.schedules,
    "redrives": redrives,
    "retries": retries,
    "debug": debug.debug,
}


def test_no_command_is_forgotten():
    groups = {f"{name} {each}" for name, group in GROUPS.items() for each in group.commands}
    single = (main.COMMANDS.keys() | main.HIDDEN.keys()) - GROUPS.keys()
    assert groups | single == COMMANDS.keys() | RUNNING | ALONE


@pytest.fixture
def gopherctl(here, monkeypatch, capfd):
    """Run a command in this process; return what it says."""

    def _run(*arguments: str) -> str:
        for name, value in here.stack.environ.items():
            monkeypatch.setenv(name, value)
        code = main.run(arguments)
        said = capfd.readouterr()
        assert code == 0, said.out + said.err
        return said.out

    return _run


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_answers(here, gopherctl, command):
    gopherctl(*command.split(), *COMMANDS[command](here))


def test_submit_many_stores_jobs_of_several_nodes(gopherctl, tmp_path):
    file = tmp_path / "jobs"
    file.write_text(
        "".join(f'{{"type": "cleanup", "payload": {{}}, "delay": "1h", "queue": "{each}"}}\n' for each in QUEUES)
    )
    gopherctl("submit-many", str(file))


@pytest.mark.deep
def test_bench_measures_a_cluster(gopherctl):
    assert "jobs" in gopherctl("bench", "--jobs", "1000")


def test_a_schedule_fires_and_a_report_is_made(here):
    here.http.put(
        "/api/v1/schedules/often", json={**SCHEDULE, "cron_expression": "* * * * * *", "queue": "images"}
    ).raise_for_status()
    wait_until(lambda: any(job.queue == "images" for job in here.client.jobs(status="completed", limit=100).jobs), 15)
    here.http.delete("/api/v1/schedules/often")
    job_id = here.submit(type="report", payload={"report_type": "daily_summary"})
    assert here.client.wait(job_id, 20).status == "completed"
