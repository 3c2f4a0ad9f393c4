"""An API over a server, and everything that shows what is in it: lists, pages, exports, commands."""

import json
from functools import cache

import pytest
from click.testing import CliRunner
from gopher.app import create_app
from gopher.app.context import Context
from gopher.cli.main import cli

from gopher.api_client.decode import read_member, read_view
from gopher.base.states import State
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.interface import DeadLettersInterface, FlowInterface, Gopher, SchedulesInterface
from gopher.interface.operation import declared_of
from gopher.jobs.loading import load_handlers
from gopher.jobs.models import DeadLetterPage, JobView, Page
from tests.app.calls import APP
from tests.app.document import pointer_to, validator
from tests.seeding import SeedingWorker

QUEUE = "default"


PAGES = sorted(
    rule.rule
    for rule in APP.url_map.iter_rules()
    if "GET" in rule.methods and not rule.arguments and "sign" not in rule.rule
)


#: What a client of the API reads without naming one job or schedule.
READS = [
    declared
    for part in (Gopher, DeadLettersInterface, FlowInterface, SchedulesInterface)
    for method in vars(part).values()
    if (declared := declared_of(method)) and declared.method == "GET" and "<" not in declared.route
]


@cache
def _application():
    """Return the application of all installations: what belongs to one of them is its context."""
    return create_app(Settings.from_env({"LOG_LEVEL": "error"}))


class Installation:
    """An API over the server, and what it answers. There is one at a time."""

    def __init__(self, redis_url, namespace):
        # A server that gets no processor for a while is waited for.
        self.environ = {
            "REDIS_URL": redis_url,
            "REDIS_TIMEOUT": "60s",
            "GOPHER_NAMESPACE": namespace,
            "LOG_LEVEL": "error",
        }
        settings = Settings.from_env(self.environ)
        self.client = Client(settings=settings, registry=load_handlers(["gopher.handlers"]))
        self.client.server.register_queues(QUEUE)
        self.redis, self.keys = self.client.server.client, self.client.server.keys.for_queue(QUEUE)
        self.worker = SeedingWorker(self.client)
        self.app = _application()
        self.app.extensions["gopher"] = Context(settings, load_handlers(settings.handlers))
        self.api = self.app.test_client()

    def get(self, path):
        """Return what the API answers: JSON that everybody can read, in the shape that its document promises."""
        with self.api.get(path) as answer:
            assert answer.status_code == 200, (path, answer.get_data())
            text = answer.get_data().decode()
        if not answer.is_json:
            return text
        place = pointer_to("GET", path.partition("?")[0])
        schema = (*place, "responses", "200", "content", "application/json", "schema")
        found = json.loads(text, parse_constant=pytest.fail)
        validator(schema).validate(found)
        return found

    def run(self, *arguments):
        """Return what a command of gopherctl says."""
        done = CliRunner().invoke(cli, list(arguments), env=self.environ)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.output

    def job_in(self, state):
        """Return the id of a job in a state."""
        delay = "1h" if state == State.SCHEDULED else None
        job_id = self.client.enqueue("math", {"operation": "prime", "number": 7}, delay=delay)
        if state in (State.PENDING, State.SCHEDULED):
            return job_id
        (job,) = self.worker.fetch()
        assert job.id == job_id
        if state == State.RETRYING:
            self.worker.retry(job)
        elif state == State.FAILED:
            self.worker.dead_letter(job)
        elif state == State.COMPLETED:
            self.worker.complete([job], log=b'[[1790000000000,"a line"]]')
        return job_id

    def plant(self, job_id, field, value):
        key = self.keys.job(job_id)
        if value is None:
            self.redis.hdel(key, field)
        else:
            self.redis.hset(key, field, value)


def walk(installation):
    """Ask for all that is read, but for what is of one job, schedule or asset."""
    for path in PAGES:
        if path != "/docs":
            with installation.api.get(path) as answer:
                assert answer.status_code in (200, 302), (path, answer.get_data())
    for declared in READS:
        with installation.api.get(declared.route) as answer:
            read_member(declared.result, answer.get_data(), declared.member)
    installation.get("/api/v1/timeline?window=1h")
    installation.get("/api/v1/types/math/stats?window=1d")
    installation.get("/api/v1/dlq?error=ValueError")
    installation.get("/api/v1/jobs?type=math")


def look_at(installation, job_id):
    """Ask for all that is said of one job."""
    view = installation.get(f"/api/v1/jobs/{job_id}")
    read_view(JobView, json.dumps(view).encode())
    installation.get(f"/api/v1/jobs/{job_id}?wait=0.001")
    installation.get(f"/api/v1/jobs/{job_id}/logs")
    installation.get(f"/api/v1/jobs/{job_id}/why")
    assert job_id in installation.get(f"/dashboard/jobs/{job_id}")
    return view


def listed(installation):
    """Return the rows of all jobs and of the dead letters, page by page."""
    rows = {}
    for path, kind in (("/api/v1/jobs", Page), ("/api/v1/dlq", DeadLetterPage)):
        cursor = ""
        while cursor is not None:
            page = installation.get(f"{path}?limit=7{cursor and '&cursor=' + cursor}")
            read_view(kind, json.dumps(page).encode())
            rows |= {row["job_id"]: row for row in page["jobs"]}
            cursor = page["next_cursor"]
    return rows
