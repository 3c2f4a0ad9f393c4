"""Every call of the API, every page and every command answers on a cluster. Taken from the application itself, so that
a new one can't be forgotten: those that need something said to them have it here.
"""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from gopher.cli import acting, api_keys, batches, debug, flow, main, schedules, tenants, webhooks
from gopher.cli.redrives import redrives, retries

from gopher.client import Client
from gopher.jobs.callbacks import DELIVERY_TYPE
from gopher.queue.presence import show_worker
from tests.app.calls import APP
from tests.helpers import wait_until
from tests.in_process import run_command
from tests.seeding import SeedingWorker
from tests.topologies.stack import QUEUES, TOKEN, Stack

#: The namespace of API keys and of what a scheduler would end.
APART = "apart"
JOB = {"type": "math", "payload": {"operation": "prime", "number": 97}}
BATCH = {"queue": "mail"}
WEBHOOK = {"url": "https://example.com/hook", "queues": ["none"]}
SCHEDULE = {"cron_expression": "0 3 1 1 *", "type": "math", "payload": JOB["payload"]}


class Here:
    """A running stack on a cluster, and jobs in any state."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.client = stack, stack.client
        # The API may close an idle connection just when it is used again.
        headers = {"Origin": stack.address, "Connection": "close"}
        self.http = httpx.Client(base_url=stack.address, timeout=60, headers=headers)

    def submit(self, **fields: Any) -> str:
        return str(self.http.post("/api/v1/jobs", json={**JOB, **fields}).raise_for_status().json()["job_id"])

    def done(self) -> str:
        """Return a job that has completed, in a queue that is not the first."""
        job_id = self.submit(queue="sms")
        assert self.client.wait(job_id, 60).status == "completed"
        return job_id

    def reported(self) -> str:
        """Return a job with the file `workers.html`."""
        job_id = self.submit(type="report", payload={"report_type": "workers"}, queue="sms")
        assert self.client.wait(job_id, 60).status == "completed"
        return job_id

    def with_upload(self) -> str:
        """Return a job that was submitted with the file `photo`."""
        content = {"job": (None, msgspec.json.encode({**JOB, "queue": "sms"})), "photo": ("a.txt", b"content")}
        return str(self.http.post("/api/v1/jobs", files=content).raise_for_status().json()["job_id"])

    def delayed(self) -> str:
        return self.submit(queue="images", delay="1h")

    def dead(self) -> str:
        job_id = self.submit(type="faults.stumble", payload={"how": "error"}, queue="mail", max_retries=0)
        assert self.client.wait(job_id, 60).status == "failed"
        return job_id

    def redrive(self) -> str:
        """Return a gradual redrive of dead letters."""
        self.dead()
        self.dead()
        answer = self.http.post("/api/v1/dlq/retry-all", json={"queue": "mail", "rate": "1/h"}).raise_for_status()
        return str(answer.json()["redrive_id"])

    def cancellation(self) -> str:
        answer = self.http.post("/api/v1/jobs/cancel", json={"queue": "mail", "type": "cleanup"}).raise_for_status()
        return str(answer.json()["cancellation_id"])

    def running(self) -> str:
        # Longer than it takes until somebody has asked about it.
        job_id = self.submit(type="faults.work", payload={"seconds": 25}, queue="sms", timeout=60)
        # Not its state on the server: what gives it to the worker may still be on the way.
        wait_until(lambda: any(entry.job_id == job_id for entry in self.stack.events()), 60)
        return job_id

    def batch(self) -> str:
        return str(self.http.post("/api/v1/batches", json=BATCH).raise_for_status().json()["batch_id"])

    def webhook(self) -> str:
        return str(self.http.post("/api/v1/webhooks", json=WEBHOOK).raise_for_status().json()["webhook_id"])

    def delivery(self) -> str:
        """Return a delivery that has ended before it was sent."""
        self.client.flow.pause_type(DELIVERY_TYPE)
        job_id = self.client.webhooks.test(self.webhook())
        self.client.cancel(job_id)
        self.client.flow.resume_type(DELIVERY_TYPE)
        return job_id

    def worker(self) -> str:
        """Return a worker that no other call needs."""
        self.client.server.register_queues("spare")
        name = SeedingWorker(self.client, "spare", "spare-1-abc").name
        # Like the others, so that `doctor` has nothing to say about it.
        view = msgspec.structs.replace(self.client.workers()[0], id=name, queues=["spare"], children=[])
        record, now = msgspec.json.encode(view), round(time.time() * 1000)
        for command in show_worker(self.client.server.keys, name, record, now, 60.0):
            self.client.server.client.execute_command(*command.words)
        return name

    def throttled(self) -> str:
        """Return a type of which a job was throttled."""
        self.client.server.register_queues("spare")
        worker = SeedingWorker(self.client, "spare", "spare-2-abc")
        self.client.enqueue("math", JOB["payload"], queue="spare")
        worker.throttle(worker.fetch()[0])
        return "math"

    def unfinished_cancellation(self) -> str:
        """Return a cancellation of an installation without a scheduler, which would end it at once."""
        with Client(self.client.settings.redis_url, namespace=APART) as client:
            client.enqueue("cleanup", {}, queue="mail")
            return client.waiting.cancel_matching(queue="mail").cancellation_id

    def schedule(self) -> str:
        self.http.put("/api/v1/schedules/yearly", json=SCHEDULE).raise_for_status()
        return "yearly"

    def key(self) -> str:
        """Return an API key, of an installation without an API: it would be closed by that."""
        with Client(self.client.settings.redis_url, namespace=APART) as client:
            return client.keys.create("shop").key_id

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
    "/api/v1/jobs/<job_id>/run": Here.delayed,
    "/api/v1/jobs/<job_id>/move": Here.delayed,
    "/api/v1/jobs/<job_id>/files/<name>": Here.reported,
    "/api/v1/jobs/<job_id>/uploads/<name>": Here.with_upload,
    "/api/v1/jobs/<job_id>/stack": Here.running,
    "/api/v1/webhooks/deliveries/<job_id>/redeliver": Here.delivery,
    "/dashboard/jobs/<job_id>/files/<name>": Here.reported,
    "/dashboard/jobs/<job_id>/stack": Here.running,
    "/dashboard/webhooks/deliveries/<job_id>/redeliver": Here.delivery,
    "/dashboard/jobs/<job_id>/cancel": Here.delayed,
    "/dashboard/jobs/<job_id>/run": Here.delayed,
    "/dashboard/jobs/<job_id>/move": Here.delayed,
    "/dashboard/jobs/<job_id>/discard": Here.dead,
    "/dashboard/jobs/<job_id>/retry": Here.dead,
}
PARTS: dict[str, Callable[[Here], str]] = {
    "queue": lambda here: "mail",
    "job_type": lambda here: "math",
    "redrive_id": Here.redrive,
    "cancellation_id": Here.cancellation,
    "retry_id": Here.redrive,
    "name": Here.schedule,
    "batch_id": Here.batch,
    "webhook_id": Here.webhook,
    "worker_id": Here.worker,
    "tenant": lambda here: "shop",
    "token": lambda here: TOKEN,
}
FILES: dict[str, Callable[[Here], str]] = {"name": lambda here: "workers.html"}
UPLOADS: dict[str, Callable[[Here], str]] = {"name": lambda here: "photo"}
#: What is sent, and what is asked for.
SENT: dict[str, dict[str, Any]] = {
    "POST /api/v1/jobs": {"json": JOB, "params": {"wait": "10"}},
    "POST /api/v1/jobs/batch": {"json": {"jobs": [{**JOB, "queue": queue} for queue in QUEUES]}},
    "POST /api/v1/files": {"content": b"content", "headers": {"Content-Type": "text/plain"}},
    "POST /api/v1/dlq/retry-all": {"json": {"queue": "mail"}},
    "PUT /api/v1/limits/<job_type>": {"json": {"rate": "1000/s"}},
    "PUT /api/v1/schedules/<name>": {"json": SCHEDULE},
    "PUT /api/v1/tenants/<tenant>": {"json": {"weight": 2}},
    "POST /dashboard/tenants/set": {"data": {"tenant": "shop", "weight": "2"}},
    "POST /dashboard/tenants/clear": {"data": {"tenant": "shop"}},
    "POST /api/v1/jobs/<job_id>/move": {"json": {"queue": "images", "priority": "high"}},
    "POST /api/v1/jobs/cancel": {"json": {"type": "cleanup"}},
    "POST /api/v1/batches": {"json": BATCH},
    "POST /api/v1/webhooks": {"json": WEBHOOK},
    "PUT /api/v1/webhooks/<webhook_id>": {"json": WEBHOOK},
    # The others of this stack are needed.
    "POST /api/v1/workers/quiet": {"params": {"queue": "spare"}},
    "POST /api/v1/workers/stop": {"params": {"queue": "spare"}},
    "POST /dashboard/limits/release": {"data": {"type": "math"}},
    "POST /dashboard/jobs/<job_id>/move": {"data": {"queue": "images", "priority": "high"}},
    "POST /dashboard/cancellations/start": {"data": {"type": "cleanup"}},
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
    for rule in APP.url_map.iter_rules()
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    # The first key would close the API to the calls after it.
    if rule.rule not in STATIC and not rule.rule.startswith("/api/v1/keys")
)


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=map(" ".join, ROUTES))
def test_the_api_answers(here, method, route):
    def part(found: re.Match[str]) -> str:
        parts = {**PARTS, **FILES} if "/files/" in route else {**PARTS, **UPLOADS} if "/uploads/" in route else PARTS
        make = JOBS.get(route, Here.done) if found[1] == "job_id" else parts[found[1]]
        return make(here)

    path = re.sub(r"<(\w+)>", part, route)
    sent = dict(SENT.get(f"{method} {route}", {}))
    if method == "POST" and route.startswith("/dashboard/"):
        sent["data"] = {**sent.get("data", {}), "token": here.token()}
    answer = here.http.request(method, path, **sent)
    assert answer.status_code < 400, answer.text
    if answer.headers["Content-Type"] == "application/json":
        found = answer.json()
        assert isinstance(found, list) or found.get("status") != "unhealthy"


#: Command -> its arguments, or what makes them.
COMMANDS: dict[str, Callable[[Here], list[str]]] = {
    "submit": lambda here: ["-t", "math", "-p", '{"operation": "prime", "number": 97}', "--queue", "mail", "--wait"],
    "job": lambda here: [here.done()],
    "jobs": lambda here: ["--queue", "mail"],
    "wait": lambda here: [here.done()],
    "cancel": lambda here: [here.delayed()],
    "run-now": lambda here: [here.delayed()],
    "move": lambda here: [here.delayed(), "--queue", "images", "--priority", "high"],
    "copy": lambda here: [here.done()],
    "cancellations list": lambda here: [],
    "cancellations stop": lambda here: [here.unfinished_cancellation()],
    "logs": lambda here: [here.done()],
    "files": lambda here: [here.reported()],
    "why": lambda here: [here.delayed()],
    "stats": lambda here: [],
    "workers": lambda here: [],
    "types": lambda here: [],
    "health": lambda here: [],
    "doctor": lambda here: ["--deep"],
    "list-failed": lambda here: ["--groups"],
    "replay": lambda here: [here.done(), "--local"],
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
    "batches cancel": lambda here: [here.batch()],
    "batches create": lambda here: ["--queue", "mail"],
    "batches list": lambda here: [],
    "batches retry": lambda here: [here.batch()],
    "batches seal": lambda here: [here.batch()],
    "batches show": lambda here: [here.batch()],
    "webhooks create": lambda here: ["--url", WEBHOOK["url"], "--queue", "none"],
    "webhooks delete": lambda here: [here.webhook()],
    "webhooks deliveries": lambda here: [here.webhook()],
    "webhooks enable": lambda here: [here.webhook()],
    "webhooks list": lambda here: [],
    "webhooks redeliver": lambda here: [here.delivery()],
    "webhooks replace": lambda here: [here.webhook(), "--url", WEBHOOK["url"]],
    "webhooks rotate": lambda here: [here.webhook()],
    "webhooks secret": lambda here: [],
    "webhooks show": lambda here: [here.webhook()],
    "webhooks test": lambda here: [here.webhook()],
    "quiet": lambda here: [here.worker()],
    "stop": lambda here: [here.worker()],
    "stack": lambda here: [here.running()],
    "capacity": lambda here: ["--within", "30s"],
    "scale": lambda here: [],
    "tenants list": lambda here: [],
    "tenants set": lambda here: ["shop", "--weight", "2"],
    "tenants delete": lambda here: ["shop"],
    "limits release": lambda here: [here.throttled()],
    "audit": lambda here: [],
    "keys list": lambda here: [],
    "keys create": lambda here: ["shop"],
    "keys rotate": lambda here: [here.key()],
    "keys revoke": lambda here: [here.key()],
    "completion": lambda here: ["bash"],
    "debug crash-points": lambda here: [],
}
#: Those about what is in the namespace apart, by their beginning.
ABOUT_APART = ("keys", "cancellations stop")
#: Those that run on or take long: tests of their own.
RUNNING = {"up", "web", "worker", "scheduler", "submit-many", "bench", "export", "import"}
#: Those that ask no server: tests of their own.
ALONE = {"check", "init"}
GROUPS = {
    "batches": batches.batches,
    "cancellations": acting.cancellations,
    "keys": api_keys.keys,
    "limits": flow.limits,
    "schedules": schedules.schedules,
    "redrives": redrives,
    "retries": retries,
    "debug": debug.debug,
    "tenants": tenants.tenants,
    "webhooks": webhooks.webhooks,
}


def test_no_command_is_forgotten():
    groups = {f"{name} {each}" for name, group in GROUPS.items() for each in group.commands}
    single = (main.COMMANDS.keys() | main.HIDDEN.keys()) - GROUPS.keys()
    assert groups | single == COMMANDS.keys() | RUNNING | ALONE


@pytest.fixture
def gopherctl(here, monkeypatch, capfd):
    """Run a command in this process; return what it says."""

    def _run(*arguments: str, **more: str) -> str:
        for name, value in {**here.stack.environ, **more}.items():
            monkeypatch.setenv(name, value)
        code = run_command(arguments)
        said = capfd.readouterr()
        assert code == 0, said.out + said.err
        return said.out

    return _run


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_answers(here, gopherctl, command):
    namespace = {"GOPHER_NAMESPACE": APART} if command.startswith(ABOUT_APART) else {}
    gopherctl(*command.split(), *COMMANDS[command](here), **namespace)


def test_submit_many_stores_jobs_of_several_nodes(gopherctl, tmp_path):
    file = tmp_path / "jobs"
    file.write_text(
        "".join(f'{{"type": "cleanup", "payload": {{}}, "delay": "1h", "queue": "{each}"}}\n' for each in QUEUES)
    )
    gopherctl("submit-many", str(file))


@pytest.mark.deep
def test_bench_measures_a_cluster(gopherctl):
    assert "jobs" in gopherctl("bench", "--jobs", "1000", REDIS_TIMEOUT="30s")


def test_a_schedule_fires_and_a_report_is_made(here):
    here.http.put(
        "/api/v1/schedules/often", json={**SCHEDULE, "cron_expression": "* * * * * *", "queue": "images"}
    ).raise_for_status()
    wait_until(lambda: any(job.queue == "images" for job in here.client.jobs(status="completed", limit=100).jobs), 60)
    here.http.delete("/api/v1/schedules/often")
    job_id = here.submit(type="report", payload={"report_type": "daily_summary"})
    assert here.client.wait(job_id, 60).status == "completed"


def test_a_job_whose_id_does_not_tell_its_queue_is_found_on_any_node(here):
    queues = [f"found-{number}" for number in range(15)]
    entries = [f'{{"type":"cleanup","payload":{{}},"delay":"1h","queue":"{queue}"}}'.encode() for queue in queues]
    stored = here.client.submit_batch(entries, idempotency_key="found")
    assert [here.client.job(each.job_id).queue for each in stored] == queues
    assert here.http.get("/api/v1/jobs/01a22001-0000-7000-8000-000000000abc").status_code == 404


def test_many_jobs_wait_for_one(here):
    parent = here.submit(type="math", payload={"operation": "prime", "number": 7}, delay="1h")
    children = [here.client.enqueue("cleanup", {}, after=[parent]) for _ in range(30)]
    here.client.cancel(parent)
    assert {here.client.job(child).status for child in children} == {"failed"}
    here.http.delete("/api/v1/dlq").raise_for_status()
