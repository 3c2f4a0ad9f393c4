"""All that an owner may have in an installation, and all that another client may send to learn of it."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from uuid import uuid4

import msgspec
from flask import Flask
from gopher.app import openapi

from gopher.client import Client
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.schedule import ScheduleSpec
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

from .calls import Route

#: A unique key that another client guesses.
GUESSED = "customer:42"


class World:
    """A job of an owner in every state, with logs, results and unique keys; dead letters, a redrive, a schedule."""

    def __init__(self, client: Client, owner: str) -> None:
        self.client = client
        self.owner = owner
        self.secret = f"secret-{uuid4().hex}"
        self.queue = f"world-{uuid4().hex[:8]}"
        client.server.register_queues(self.queue)
        self._worker = SeedingWorker(client, self.queue)
        #: State -> id.
        self.jobs = dict(self._seeded())
        redrive = client.dead_letters.retry_gradually(queue=self.queue, rate="1/h")
        spec = ScheduleSpec("@yearly", "email", msgspec.Raw(json.dumps(self._payload)), queue=self.queue)
        client.schedules.put(self.queue, spec)
        self.redrives = [redrive.redrive_id]
        assert redrive.redrive_id
        assert self.state()["unique"] is not None

    @property
    def _payload(self):
        return {"to": "victim@example.com", "subject": self.secret, "body": self.secret}

    def submit(self, job_type: str = "email", **options) -> str:
        payload = self._payload if job_type == "email" else {}
        fields = {"type": job_type, "payload": payload, "queue": self.queue, **options}
        fields["metadata"] = {"note": self.secret}
        job = prepare_fields(fields)
        return self.client.store([job], submitter=Submitter(self.owner))[0].job_id

    def _run(self):
        self.submit()
        (job,) = self._worker.fetch()
        return job

    def _seeded(self) -> Iterator[tuple[str, str]]:
        secret, log = json.dumps(self.secret).encode(), json.dumps([[1_790_000_000_000, self.secret]]).encode()
        done = self._run()
        self._worker.complete([done], secret, log)
        yield "completed", done.id
        for state, end in (("failed", self._worker.dead_letter), ("retrying", self._worker.retry)):
            job = self._run()
            end(job, error=self.secret)
            yield state, job.id
        yield "processing", self._run().id
        yield "expired", self.submit(expires_in="1ms")
        cancelled = self.submit()
        self.client.cancel(cancelled)
        yield "cancelled", cancelled
        pending = self.submit(unique_key=GUESSED, limit_key="tenant")
        yield "pending", pending
        yield "scheduled", self.submit(delay="1h")
        yield "waiting for another", self.submit(after=[pending])

    def wait(self) -> None:
        """Wait until the job that expires has."""
        wait_until(lambda: self.client.job(self.jobs["expired"]).status == "expired")

    def state(self) -> dict:
        """Return all that must stay as it is when another client has come by."""
        redis, keys = self.client.server.client, self.client.server.keys.for_queue(self.queue)
        records = {job_id: redis.hgetall(keys.job(job_id)) for job_id in self.jobs.values()}
        # A trusted job is stored under its key alone.
        unique = redis.get(keys.unique(f"email {GUESSED} {self.owner}" if self.owner else GUESSED))
        views = [self.client.schedules.get(self.queue), self.client.dead_letters.redrives()]
        return {"records": records, "unique": unique, "views": views}


class Visit:
    """All requests that a client may send to learn of a world, made from the routes of an application.

    `send` sends one: method, url, headers, body, and returns status, headers and text of the answer. `states` are those
    of the jobs that requests are about.
    """

    def __init__(self, app: Flask, world: World, send, states: Iterable[str] | None = None) -> None:
        self._world = world
        self._send = send
        self._ids = [world.jobs[state] for state in states or world.jobs]
        self._document = openapi.document(app)
        self._served = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()}

    def leaks(self, route: Route) -> list[str]:
        """Return what its answers reveal of the world."""
        found = []
        for url, body, headers in itertools.chain(self._bare(route), self._asking(route), self._sending(route)):
            status, told, text = self._send(route.method, url, headers, body)
            sent = f"{url} {body} {headers}"
            shown = f"{told} {text}"
            secrets = {self._world.secret, *self._world.jobs.values()}
            knows = {secret for secret in secrets if secret in shown and secret not in sent}
            if knows:
                found.append(f"{route.method} {url} {body!r:.200} reveals {knows}: {status} {shown!r:.1000}")
        return found

    def _values(self, name: str) -> list[str]:
        """Return values of a path's parameter. One that is new may be anything that the world has."""
        known = {
            "job_id": self._ids,
            "queue": [self._world.queue],
            "name": [self._world.queue, "docs.js"],
            "redrive_id": self._world.redrives,
            "retry_id": self._world.redrives,
            "job_type": ["email"],
        }
        return known.get(name) or list(dict.fromkeys(itertools.chain.from_iterable(known.values())))

    def _paths(self, rule: str) -> Iterator[str]:
        names = re.findall(r"<(?:\w+:)?(\w+)>", rule)
        for values in itertools.product(*map(self._values, names)):
            filled = iter(values)
            yield re.sub("<[^>]*>", lambda _: next(filled), rule)  # noqa: B023 - used at once

    def _bare(self, route: Route):
        # A method that a route has not is refused before anything is looked up: one path will do.
        most = None if (route.method, route.rule) in self._served else 1
        return ((path, None, {}) for path in itertools.islice(self._paths(route.rule), most))

    def _asking(self, route: Route):
        # HEAD is GET without what it says.
        query = route.operation.query if route.operation is not None and route.method != "HEAD" else None
        names = query.__struct_encode_fields__ if query is not None else ()
        for path in self._paths(route.rule) if names else ():
            for name in names:
                for value in ("0.05", "1", "failed", "email", self._world.queue, self._world.jobs["failed"]):
                    yield f"{path}?{name}={value}", None, {}

    def _sending(self, route: Route):
        if route.operation is None or route.operation.body is None:
            return
        as_json = {"Content-Type": "application/json"}
        for path in self._paths(route.rule):
            for sent in self._bodies(route):
                for body in (sent, *self._guesses(sent)):
                    yield path, json.dumps(body), as_json
                    yield f"{path}?dry_run=1", json.dumps(body), as_json
                    yield f"{path}?wait=0.02", json.dumps(body), as_json
                    if "jobs" in body:
                        lines = "\n".join(map(json.dumps, body["jobs"]))
                        yield path, lines, {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}

    def _bodies(self, route: Route) -> list[dict]:
        """Return the bodies that the document has as examples."""
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule)
        content = self._document["paths"][path][route.method.lower()]["requestBody"]["content"]["application/json"]
        return (
            [content["example"]] if "example" in content else [each["value"] for each in content["examples"].values()]
        )

    def _guesses(self, body: dict) -> Iterator[dict]:
        """Yield a body with what refers to other jobs."""
        if "jobs" in body:
            for job in body["jobs"]:
                yield from ({"jobs": [each]} for each in self._guesses(job))
        elif "payload" in body and "cron_expression" not in body:
            plain = {name: body[name] for name in ("type", "payload") if name in body}
            plain["queue"] = self._world.queue
            yield {**plain, "unique_key": GUESSED}
            yield from ({**plain, "after": [job_id]} for job_id in self._ids)


def same(answer, job_id: str) -> tuple:
    """Return what a client can tell answers by, without the id that it has sent and what differs with each request."""
    told = {name: value for name, value in answer.headers.items() if name.lower() not in ("date", "x-request-id")}
    text = answer.text.replace(answer.headers["X-Request-ID"], "").replace(job_id, "<job_id>")
    return answer.status_code, told, text
