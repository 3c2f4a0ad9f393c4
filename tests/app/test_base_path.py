"""GOPHER_BASE_PATH and X-Forwarded-Prefix: every address that the API returns is the one that its client can reach."""

from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from gopher.app import create_app
from gopher.app.base_path import below
from gopher.app.http_request import Request as RequestHead
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.config import Config

from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from tests.app.conftest import EMAIL


def api_with(redis_url: str, **variables: str) -> FlaskClient:
    environ = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": f"below-{uuid4().hex[:12]}", **variables}
    return create_app(Settings.from_env(environ)).test_client()


@pytest.mark.parametrize(
    ("base", "proxies", "path", "header", "found"),
    [
        ("/gopher", 0, "/gopher/docs", "", ("/gopher", "/docs")),
        ("/gopher", 0, "/gopher", "", ("/gopher", "")),
        # Probes, and proxies that remove the path.
        ("/gopher", 0, "/docs", "", ("/gopher", "/docs")),
        ("/gopher", 0, "/gophers", "", ("/gopher", "/gophers")),
        ("/gopher", 0, "/gopher/gopher/docs", "", ("/gopher", "/gopher/docs")),
        ("/tools/gopher", 0, "/tools/gopher/docs", "", ("/tools/gopher", "/docs")),
        # Anyone can send the header.
        ("", 0, "/docs", "/gopher", ("", "/docs")),
        ("", 1, "/docs", "/gopher", ("/gopher", "/docs")),
        ("", 1, "/docs", "/gopher/", ("/gopher", "/docs")),
        ("", 1, "/docs", "/evil, /gopher", ("/gopher", "/docs")),
        ("", 2, "/docs", "/evil, /outer, /inner", ("/outer/inner", "/docs")),
        ("", 2, "/docs", "/gopher", ("/gopher", "/docs")),
        # A path that the header names is not removed: a client could reach what the proxy protects by its path.
        ("", 1, "/gopher/docs", "/gopher", ("/gopher", "/gopher/docs")),
        # No address of another host, and nothing that has to be quoted.
        *[("", 1, "/docs", evil, ("", "/docs")) for evil in ("//evil.example", "evil", "/a/../b", "/a?b", "/<a", "/")],
        # Two proxies: the outer one removes its own part, the inner one passes the rest on.
        ("/gopher", 1, "/gopher/docs", "/outer", ("/outer/gopher", "/docs")),
        # A proxy that says what it has passed on.
        ("/gopher", 1, "/gopher/docs", "/gopher", ("/gopher", "/docs")),
    ],
)
def test_a_request_is_split_into_where_the_api_is_and_the_path_in_it(base, proxies, path, header, found):
    environ = {"SCRIPT_NAME": "", "PATH_INFO": path, **({"HTTP_X_FORWARDED_PREFIX": header} if header else {})}
    below(base, proxies)(environ)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == found


def test_an_application_that_it_is_mounted_in_keeps_its_part():
    environ = {"SCRIPT_NAME": "/mounted", "PATH_INFO": "/docs", "HTTP_X_FORWARDED_PREFIX": "/outer"}
    below("", 1)(environ)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/outer/mounted", "/docs")


@pytest.mark.parametrize(
    ("variables", "headers", "sent_below"),
    [
        ({"GOPHER_BASE_PATH": "/gopher/"}, {}, "/gopher"),
        ({"GOPHER_BASE_PATH": "/gopher"}, {}, ""),
        ({"GOPHER_TRUSTED_PROXIES": "1"}, {"X-Forwarded-Prefix": "/gopher"}, ""),
    ],
    ids=["passed on", "removed and set here", "removed and sent in a header"],
)
def test_every_address_that_is_returned_is_below_the_base_path(redis_url, variables, headers, sent_below):
    api = api_with(redis_url, **variables)

    def call(method: str, path: str, **options: object):
        answer = api.open(f"{sent_below}{path}", method=method, headers=headers, **options)
        assert answer.status_code < 400, answer.text
        return answer

    submitted = call("POST", "/api/v1/jobs", json={"type": "email", "payload": EMAIL})
    assert submitted.headers["Location"] == f"/gopher/api/v1/jobs/{submitted.json['job_id']}"
    yearly = {"type": "email", "payload": EMAIL, "recurring": {"cron_expression": "0 0 1 1 *"}}
    every = call("POST", "/api/v1/jobs", json=yearly)
    assert every.headers["Location"].startswith("/gopher/api/v1/schedules/")
    now = call("POST", f"/api/v1/schedules/{every.json['schedule']}/run")
    assert now.headers["Location"].startswith("/gopher/api/v1/jobs/")
    made = call("POST", "/api/v1/keys", json={"name": "ops", "role": "admin"})
    assert made.headers["Location"].startswith("/gopher/api/v1/keys/")
    headers["X-API-Key"] = made.json["secret"]
    assert all(link.startswith("/gopher/") for link in call("GET", "/").json["links"].values())
    assert call("GET", "/openapi.json").json["servers"] == [{"url": "/gopher"}]
    assert "curl http://localhost/gopher/api/v1/jobs" in call("GET", "/api/v1/jobs/types").json["types"][0]["example"]
    page = call("GET", "/docs").text
    assert (page.count('="/gopher/'), page.count('="/')) == (5, 5)
    doubled = call("GET", "/docs//docs.css?x=%2f")
    assert (doubled.status_code, doubled.headers["Location"]) == (308, "/gopher/docs/docs.css?x=%2f")
    missing = api.get(f"{sent_below}/nowhere", headers=headers)
    assert missing.json["details"] == "GET /gopher/nowhere: see GET /gopher/ for the list of endpoints"


def test_the_dashboard_is_below_the_base_path_with_its_cookies_and_redirects(redis_url):
    api = api_with(redis_url, GOPHER_BASE_PATH="/gopher", GOPHER_API_KEYS="ops:0123456789abcdef")
    to_sign_in = api.get("/gopher/dashboard/jobs?status=failed")
    assert to_sign_in.headers["Location"] == "/gopher/dashboard/sign-in?next=/gopher/dashboard/jobs?status%3Dfailed"
    key = {"key": "0123456789abcdef", "next": "/gopher/dashboard/jobs?status=failed"}
    signed_in = api.post("/gopher/dashboard/sign-in", data=key)
    assert signed_in.headers["Location"] == key["next"]
    assert "Path=/gopher/dashboard;" in signed_in.headers["Set-Cookie"]
    page = api.get(key["next"]).text
    assert 'hx-get="/gopher/dashboard/jobs?status=failed"' in page
    assert 'href="/gopher/dashboard/jobs" aria-current="page"' in page
    # Another page of this host is none of the dashboard's.
    away = api.post("/gopher/dashboard/sign-in", data={**key, "next": "/dashboard/jobs"})
    assert away.headers["Location"] == "/gopher/dashboard"


def test_the_head_of_an_upload_is_recognized_below_the_base_path(monkeypatch):
    monkeypatch.setattr(RequestHead, "base_path", "/gopher")
    for path, is_upload in (("/gopher/api/v1/files", True), ("/api/v1/files", True), ("/gopherapi/v1/files", False)):
        parser = PythonProtocol()
        parser.feed(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert RequestHead(parser, Config(), ("127.0.0.1", 1)).is_upload is is_upload


@pytest.mark.parametrize(
    "text", ["gopher", "//gopher", "/a b", "/../etc", "/a?b", "/dashboard", "/api/v1", "/health/x"]
)
def test_a_base_path_that_no_request_could_have_is_rejected(text):
    with pytest.raises(ConfigurationError, match="GOPHER_BASE_PATH=.*expected a path such as /gopher"):
        Settings.from_env({"GOPHER_BASE_PATH": text})


@pytest.mark.parametrize(("text", "path"), [("/", ""), ("/gopher/", "/gopher"), ("/api/gopher", "/api/gopher")])
def test_a_base_path_has_no_slash_at_its_end(text, path):
    assert Settings.from_env({"GOPHER_BASE_PATH": text}).base_path == path
