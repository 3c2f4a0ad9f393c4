"""By which host names the API may be called: whatever is not its own is refused on every route (DNS rebinding)."""

import re

import pytest
from gopher.app import create_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.jobs.job import new_job_id
from tests.app.calls import APP
from tests.app.conftest import EMAIL
from tests.seeding import SeedingWorker

EVIL = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:8080", "a, x.localhost"]
COMPOSE = {"SERVER_HOST": "0.0.0.0", "GOPHER_ALLOW_ANONYMOUS": "1"}
#: The kinds of installation that check hosts: name -> (settings, hosts that it takes, hosts that it does not).
INSTALLATIONS = {
    "this machine": ({}, ["localhost", "127.0.0.1:8080", "[::1]"], ["10.0.0.7", "web:8080"]),
    "compose": (COMPOSE, ["localhost:8080", "127.0.0.1:8080", "172.18.0.4:8080", "[2001:db8::1]:80"], ["web:8080"]),
    "named": (
        {**COMPOSE, "GOPHER_ALLOWED_HOSTS": "web,.corp.example"},
        ["web:8080", "WEB.", "corp.example", "a.b.corp.example:80", "localhost", "10.0.0.7"],
        ["evilcorp.example", "web.evil.example", "corp.example.evil"],
    ),
    "keys and names": (
        {"GOPHER_API_KEYS": "ops:0123456789abcdef", "GOPHER_ALLOWED_HOSTS": "web"},
        ["web", "localhost"],
        ["10.0.0.7"],
    ),
}


def application(redis_url, namespace, variables):
    settings = Settings.from_env({"REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, **variables})
    settings.check_listener()
    return create_app(settings)


ROUTES = sorted({(method, rule.rule) for rule in APP.url_map.iter_rules() for method in rule.methods or ()})
AUTH = {"Authorization": "Bearer 0123456789abcdef"}


@pytest.fixture(scope="module", params=INSTALLATIONS)
def installed(request, redis_url):
    """Return an application of a kind, and the hosts that it takes and does not."""
    variables, good, bad = INSTALLATIONS[request.param]
    namespace = f"hosts-{request.param.replace(' ', '-')}"
    return application(redis_url, namespace, variables).test_client(), namespace, good, [*bad, *EVIL]


def path_of(route, job_id):
    return re.sub("<[^>]*>", "default", route.replace("<job_id>", job_id))


def test_a_page_of_another_host_reads_and_changes_nothing_on_any_route(installed, redis_url):
    api, namespace, _, bad = installed
    with Client(redis_url, namespace=namespace) as client:
        job_id = client.enqueue("email", EMAIL)
        worker = SeedingWorker(client)
        worker.dead_letter(*worker.fetch())
        before = client.stats()
        for method, route in ROUTES:
            # Thousands of requests: what they have in common is made once.
            sent = EnvironBuilder(path_of(route, job_id), method=method, headers=AUTH).get_environ()
            for host in bad:
                for origin in ({}, {"HTTP_ORIGIN": f"http://{host}"}):
                    _, status, _ = run_wsgi_app(api.application, {**sent, "HTTP_HOST": host, **origin}, buffered=True)
                    assert status[:3] in ("400", "403"), (method, route, host, origin)
        assert client.stats() == before
        assert client.job(job_id).status == "failed"


def test_hosts_of_its_own_are_answered(installed):
    api, _, good, _ = installed
    for host in good:
        for path in ("/api/v1/jobs", "/dashboard/sign-in", "/health/live", "/metrics", "/docs"):
            with api.get(path, headers={"Host": host, **AUTH}) as answer:
                assert answer.status_code in (200, 302), (host, path, answer.text)


def test_what_another_sites_page_sends_is_refused_by_any_name_of_its_own(installed):
    api, _, good, _ = installed
    for method, route in ROUTES:
        if method in ("POST", "PUT", "DELETE", "PATCH"):
            for origin in ("http://evil.example", "null", "http://localhost:1", f"http://{good[0]}:1"):
                answer = api.open(
                    path_of(route, new_job_id()), method=method, headers={"Host": good[0], "Origin": origin, **AUTH}
                )
                assert answer.status_code == 403, (method, route, origin)


def test_the_refusal_names_what_to_set(redis_url, namespace):
    api = application(redis_url, namespace, COMPOSE).test_client()
    answer = api.get("/api/v1/jobs", headers={"Host": "gopher.internal:8080"})
    assert "GOPHER_ALLOWED_HOSTS" in answer.json["details"]
    assert "'gopher.internal:8080'" in answer.json["details"]


@pytest.mark.parametrize("variables", [{"GOPHER_API_KEYS": "ops:0123456789abcdef"}, {"GOPHER_ALLOWED_HOSTS": "*"}])
def test_with_keys_or_a_star_any_name_is_answered(redis_url, namespace, variables):
    api = application(redis_url, namespace, {**COMPOSE, **variables}).test_client()
    assert api.get("/api/v1/jobs", headers={"Host": "gopher.example.com", **AUTH}).status_code == 200
