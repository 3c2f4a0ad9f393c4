"""Owners x roles x routes x methods: who may do what with whose jobs. Routes and methods are the application's own."""

import re
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest
from gopher.app import create_app
from gopher.app.answers import answer
from gopher.app.context import gopher
from gopher.app.operations import operation
from werkzeug.exceptions import HTTPException

from gopher.client import Client
from gopher.config.key_kinds import API_KEYS, ROLES
from gopher.config.settings import Settings
from gopher.jobs.job import new_job_id
from gopher.jobs.models import JobView
from tests.app.calls import APP, promised, routes_of
from tests.app.conftest import running_api
from tests.app.quick import Quick
from tests.app.world import Visit, World, same

#: Two clients, each with a key of every role.
OWNERS = ("shop", "blog")
SECRETS = {(owner, role): f"{owner}-{role}-0123456789" for owner in OWNERS for role in ROLES}
KEYS = ",".join(f"{owner}:{secret}:{role}" for (owner, role), secret in SECRETS.items())
#: Those of the API by their path. The dashboard's pages have a gate, and tests, of their own.
RULES = {}
for route in routes_of(APP):
    if not route.rule.startswith("/dashboard") and route.method != "OPTIONS":
        RULES.setdefault(route.rule, []).append(route.method)
#: Who may see no job but its own.
SHOP = SECRETS["shop", "submit"]
STRANGERS = {"no key": {}, "wrong key": {"Authorization": "Bearer wrong"}}


@pytest.fixture(scope="module")
def namespace():
    return f"matrix-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def api(folder, redis_url, namespace):
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": KEYS, "WEB_CONCURRENCY": "1", "LOG_LEVEL": "error"}
    with running_api(folder, redis_url, **variables) as api, closing(Quick(api)) as quick:
        yield quick


@pytest.fixture(scope="module")
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture(scope="module")
def worlds(client):
    """What each owner has, and the trusted one."""
    made = {owner: World(client, owner) for owner in ("shop", "blog", "")}
    for world in made.values():
        world.wait()
    return made


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def filled(rule, job_id):
    """Return a path of a rule: that of a job if it has one, else of what does not exist."""
    path = rule.replace("<job_id>", job_id).replace("<name>", "docs.js" if "docs" in rule else "nothing")
    return re.sub("<[^>]*>", "unused", path)


def expected(method, path, caller):
    """Return what docs/security.md promises a caller. A method that a route has not may be another's."""
    method = "GET" if method == "HEAD" else method
    try:
        rule, _ = APP.url_map.bind("localhost").match(path, method, return_rule=True)
    except HTTPException:
        return {"no key": "401", "wrong key": "401", "submit": "403"}.get(caller, "yes")
    return promised()[method, rule.rule][caller]


def check(told, promise, *, own):
    if promise.startswith("own jobs"):
        promise = "yes" if own else promise[-3:]
        # The job exists, but has no file.
        assert not own or told.status_code != 404 or told.request.url.path.endswith("s/nothing"), told.text
    if promise == "yes":
        assert told.status_code not in (401, 403), told.text
    else:
        assert told.status_code == int(promise), told.text
        code = {"401": "unauthorized", "403": "forbidden", "404": "not_found"}[promise]
        assert told.request.method == "HEAD" or told.json()["code"] == code


@pytest.mark.parametrize("rule", RULES)
def test_each_caller_may_do_what_is_promised_and_no_more(api, worlds, rule):
    def ask(job_id, caller, headers, *, own):
        path = filled(rule, job_id)
        for method in RULES[rule]:
            told = api.request(method, path, headers=headers)
            check(told, expected(method, path, caller), own=own)

    for caller, headers in STRANGERS.items():
        ask(new_job_id(), caller, headers, own=False)
    for (owner, role), secret in SECRETS.items():
        ask(new_job_id(), role, bearer(secret), own=False)
        # An admin's key may change any job.
        if "<job_id>" in rule and role != "admin":
            for other, world in worlds.items():
                ask(world.jobs["completed"], role, bearer(secret), own=other == owner)


@pytest.mark.parametrize("rule", [rule for rule in RULES if "<job_id>" in rule])
def test_another_owners_job_is_answered_as_one_that_does_not_exist(api, worlds, rule):
    def ask(method, query, job_id):
        told = api.request(method, filled(rule, job_id) + query, headers=bearer(SHOP))
        return same(told, job_id)

    for method in RULES[rule]:
        for query in ("", "?wait=0.05"):
            missing = ask(method, query, new_job_id())
            for job_id in (*worlds["blog"].jobs.values(), *worlds[""].jobs.values()):
                assert ask(method, query, job_id) == missing


#: States of the jobs that a sweep asks for; in test-deep all.
STATES = [pytest.param(("completed", "pending"), id="two states"), pytest.param(None, id="", marks=pytest.mark.deep)]


def sweep(app, world, send, rule=None, states=None):
    """Return what a client learns of a world, by all routes or by one, and whether it has changed it."""
    before = world.state()
    visit = Visit(app, world, send, states)
    found = [leak for route in routes_of(app) if rule in (None, route.rule) for leak in visit.leaks(route)]
    return found + ([] if world.state() == before else ["it was changed"])


def over_http(api, headers):
    def send(method, url, more, body):
        told = api.request(method, url, headers={**headers, **more}, content=body)
        return told.status_code, dict(told.headers), told.text

    return send


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("owner", ["blog", ""])
def test_no_request_of_another_client_reveals_or_changes_a_job(api, worlds, owner, states):
    assert not sweep(APP, worlds[owner], over_http(api, bearer(SHOP)), states=states)


@pytest.mark.parametrize("states", STATES)
def test_no_request_without_a_key_reveals_or_changes_a_job(api, worlds, states):
    assert not sweep(APP, worlds["blog"], over_http(api, {}), states=states)


#: Of each limit one role, the second of which may do all that the others may; the rest in test-deep.
ALWAYS = [("queue", "submit", STATES[0].values[0]), ("type", "admin", STATES[0].values[0])]
IN_DEEP = [
    pytest.param(limit, role, None, marks=pytest.mark.deep, id=f"{limit}-{role}")
    for limit in ("queue", "type")
    for role in ROLES
]


@pytest.mark.parametrize(("limit", "role", "states"), [*ALWAYS, *IN_DEEP])
def test_no_request_with_a_limited_key_reveals_or_changes_a_job_beyond_its_limits(
    api, client, worlds, role, limit, states
):
    limits = ([worlds["shop"].queue], []) if limit == "queue" else ([], ["math"])
    key = client.keys.create("tenant", role, *limits)
    assert not sweep(APP, worlds["blog"], over_http(api, bearer(key.secret)), states=states)


# Routes that are added later


@operation("submit", {200: JobView}, "not_found")
def copy(job_id):
    """A route that forgets whose a job is."""
    return answer(gopher().job(job_id))


@operation("submit", {200: JobView}, "not_found")
def move(what):
    """Another one, with a parameter that no other route has. It changes a job, and says nothing of it."""
    gopher().cancel(what)
    return answer({})


@operation("read", {200: JobView}, "not_found", for_owner=True)
def careful(job_id):
    """One that is declared for owners."""
    return answer(gopher().job(job_id))


def in_process(app, headers):
    def send(method, url, more, body):
        told = app.test_client().open(url, method=method, headers={**headers, **more}, data=body)
        return told.status_code, dict(told.headers), told.text

    return send


@pytest.mark.parametrize(
    ("method", "rule", "view", "finding"),
    [
        ("GET", "/api/v1/jobs/<job_id>/copy", copy, "GET /api/v1/jobs/"),
        ("POST", "/api/v1/elsewhere/<what>", move, "it was changed"),
        ("GET", "/api/v1/jobs/<job_id>/careful", careful, None),
    ],
)
def test_a_route_that_is_added_later_is_swept_too(client, redis_url, namespace, method, rule, view, finding):
    settings = replace(Settings(), redis_url=redis_url, namespace=namespace, api_keys=API_KEYS.read(KEYS))
    app = create_app(settings)
    app.add_url_rule(rule, "added", view, methods=[method])
    found = sweep(app, World(client, "blog"), in_process(app, bearer(SHOP)), rule)
    assert any(each.startswith(finding) for each in found) if finding else not found, found
