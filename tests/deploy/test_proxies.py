"""Behind real proxies, below a path: every page and link of the dashboard, and all that the API and its clients do."""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest
from gopher.cli.processes import gopherctl

from gopher import Client, HttpClient
from gopher.errors import ScheduleNotFound
from gopher.jobs.schedule import ScheduleSpec
from tests.app.conftest import Api, running_api
from tests.dashboard.browser import launch
from tests.dashboard.browser import program as browser
from tests.dashboard.reading import Page
from tests.deploy.sites import Site, program, proxied
from tests.helpers import make_certificate, wait_until
from tests.worker.processes import ROOT, Worker

SECRET = "0123456789abcdef"
PROXIES = ("nginx", "haproxy", "caddy")
#: Where the samples serve the API: its path is passed on, or removed.
PATHS = ("/gopher", "/queue")
#: Attributes that lead somewhere.
LEADING = ("href", "src", "hx-get", "data-address")

pytestmark = pytest.mark.deep


class Served(NamedTuple):
    """An API with a worker; `job_id` is a job that has a file."""

    api: Api
    client: Client
    job_id: str
    certificate: Path


@pytest.fixture(scope="module")
def served(redis_url: str, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("proxies")
    shared = {
        "GOPHER_NAMESPACE": f"proxies-{os.getpid()}",
        "GOPHER_HANDLERS": "gopher.handlers,tests.app.file_handlers,tests.dashboard.handlers",
        "GOPHER_FILES": str(folder / "files"),
        "PYTHONPATH": str(ROOT),
    }
    outside = {"GOPHER_API_KEYS": f"ops:{SECRET}", "GOPHER_TRUSTED_PROXIES": "1", "GOPHER_BASE_PATH": "/gopher"}
    with (
        Client(redis_url, namespace=shared["GOPHER_NAMESPACE"]) as client,
        running_api(folder, redis_url, **shared, **outside) as api,
    ):
        worker = Worker(client, folder, **shared)
        try:
            job_id = client.enqueue("pages", {"a report.txt": "what it says"})
            broken = client.enqueue("break", {"texts": ["Broken"]}, max_retries=0)
            client.enqueue("break", {"texts": ["Broken"]}, delay="1h")
            client.schedules.put("yearly", ScheduleSpec("0 0 1 1 *", "pages", msgspec.Raw(b"{}")))
            assert client.wait(job_id, 60).status == "completed"
            wait_until(lambda: client.job(broken).status == "failed")
            yield Served(api, client, job_id, make_certificate(folder, "localhost"))
        finally:
            worker.destroy()


@pytest.fixture(scope="module", params=PROXIES)
def site(request, served: Served, tmp_path_factory) -> Iterator[Site]:
    name = request.param
    if program(name) is None:
        pytest.skip(f"there is no {name} here")
    folder = tmp_path_factory.mktemp("proxy") / name
    with proxied(name, folder, served.api.base_url.port or 0, served.certificate) as site:
        yield site


def visitor(url: str, certificate: Path | None = None) -> httpx.Client:
    verify: object = ssl.create_default_context(cafile=str(certificate)) if certificate else True
    # What a client sends to seem to be elsewhere.
    lies = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-For": "203.0.113.9"}
    return httpx.Client(base_url=url, headers=lies, verify=verify, trust_env=False, timeout=40)


def sign_in(http: httpx.Client, below: str) -> None:
    to_sign_in = http.get(f"{below}/dashboard/jobs", params={"status": "failed"})
    assert to_sign_in.status_code == 303
    assert to_sign_in.headers["Location"].startswith(f"{below}/dashboard/sign-in?next={below}/dashboard/jobs")
    answer = http.post(f"{below}/dashboard/sign-in", data={"key": SECRET, "next": f"{below}/dashboard/jobs"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{below}/dashboard/jobs")
    assert [cookie.path for cookie in http.cookies.jar] == [f"{below}/dashboard"]


def walk(http: httpx.Client, below: str, *starts: str) -> dict[str, Page | None]:
    """Follow every link from these pages on; return what is there. Fail for a link that leads elsewhere, or nowhere."""
    found: dict[str, Page | None] = {}
    ahead = [f"{below}{start}" for start in starts]
    while ahead:
        address = ahead.pop().partition("#")[0]
        if address in found:
            continue
        answer = http.get(address)
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
        if not answer.headers["Content-Type"].startswith("text/html"):
            found[address] = None
            continue
        page = found[address] = Page(answer)
        links = [each for _, attributes in page.tags for name in LEADING if (each := attributes.get(name))]
        links = [each for each in links if not each.startswith(("#", "data:"))]
        actions = [action for form in page.forms for action in (form.action, *form.others) if action]
        elsewhere = [each for each in (*links, *actions) if not each.startswith(f"{below}/")]
        assert not elsewhere, f"{address} leads to {elsewhere}"
        # Without a key it is not shown.
        ahead += [each for each in links if not each.endswith("/openapi.json")]
    return found


@pytest.mark.parametrize("below", PATHS)
def test_every_link_and_form_of_the_dashboard_works_below_a_path(site, below):
    with visitor(site.url) as http:
        sign_in(http, below)
        found = walk(http, below, "/dashboard", "/docs")
        assert len([page for page in found.values() if page]) > 20
        kinds = (".css", ".js", ".svg", "/files/a%20report.txt")
        assert all(any(address.endswith(kind) for address in found) for kind in kinds), list(found)
        for action in ("queues/default/pause", "queues/default/resume", "schedules/yearly/pause"):
            page = Page(http.get(f"{below}/dashboard/{action.partition('/')[0]}"))
            form = page.form(action)
            answer = http.post(form.action, data=form.fields, headers={"Origin": site.url})
            assert answer.status_code == 303, answer.text
            assert answer.headers["Location"] == f"{below}/dashboard/{action.partition('/')[0]}"
        form = Page(http.get(f"{below}/dashboard/schedules")).form("yearly/resume")
        assert http.post(form.action, data=form.fields).status_code == 303
        form = Page(http.get(f"{below}/dashboard")).form("sign-out")
        assert http.post(form.action, data=form.fields).headers["Location"] == f"{below}/dashboard/sign-in"
        assert http.get(f"{below}/dashboard").status_code == 303


@pytest.mark.parametrize("below", PATHS)
def test_every_address_of_the_api_works_below_a_path(site, served, below):
    with visitor(site.url) as http:
        http.headers["Authorization"] = f"Bearer {SECRET}"
        links = http.get(f"{below}/").json()["links"]
        assert {http.get(link).status_code for name, link in links.items() if name != "dashboard"} == {200}
        assert http.get(f"{below}/openapi.json").json()["servers"] == [{"url": below}]
        example = http.get(f"{below}/api/v1/jobs/types").json()["types"][0]["example"]
        assert example.startswith(f"curl {site.url}{below}/api/v1/jobs ")
        made = http.post(f"{below}/api/v1/jobs", json={"type": "pages", "payload": {}})
        assert http.get(made.headers["Location"]).json()["job_id"] == made.json()["job_id"]
        (file,) = http.get(f"{below}/api/v1/jobs/{served.job_id}/files").json()["files"]
        assert http.get(file["url"]).text == "what it says"
        # Longer than the body of a call may be.
        uploaded = http.post(f"{below}/api/v1/files", content=b"x" * 3_000_000)
        assert (uploaded.status_code, uploaded.json()["size"]) == (201, 3_000_000)
        trail = http.get(f"{below}/api/v1/audit").json()
        assert "203.0.113.9" not in {entry["address"] for entry in trail["entries"]}


def test_clients_and_gopherctl_work_with_a_url_that_has_a_path(site, served, tmp_path):
    url = f"{site.url}/queue/"
    with HttpClient(url, SECRET) as http:
        jobs = [{"type": "pages", "payload": {"n.txt": str(number)}} for number in range(3)]
        ids = http.enqueue_many(jobs)
        assert http.wait(ids[2], 60).status == "completed"
        assert http.files.read(ids[2], "n.txt") == b"2"
        with pytest.raises(ScheduleNotFound):
            http.schedules.get("nothing")
    environ = {**os.environ, "GOPHER_URL": url, "GOPHER_API_KEY": SECRET}
    command = gopherctl("submit", "--type", "pages", "--payload", "{}", "--wait", "--json")
    said = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert json.loads(said.stdout)["status"] == "completed", said.stderr


def test_the_api_works_at_a_host_of_its_own_with_tls(site, served):
    with visitor(site.own_url, served.certificate) as http:
        sign_in(http, "/gopher")
        (cookie,) = http.cookies.jar
        assert cookie.secure
        # It is not while the server gets no processor.
        wait_until(lambda: http.get("/health/ready").status_code == 200)
        assert len(walk(http, "/gopher", "/dashboard")) > 20


@pytest.mark.skipif(browser() is None, reason="there is no Chromium here")
def test_a_browser_sees_dashboard_and_document_below_a_path(served, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    if program("nginx") is None:
        pytest.skip("there is no nginx here")
    port = served.api.base_url.port or 0
    with (
        proxied("nginx", tmp_path / "nginx", port, served.certificate) as site,
        sync_api.sync_playwright() as playwright,
        launch(playwright) as chromium,
    ):
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: asked.url.startswith(f"{site.url}/queue/") or wrong.append(asked.url))
        page.goto(f"{site.url}/queue/docs")
        # Without a key the document is not shown, which the browser reports.
        page.locator("#secret").fill(SECRET)
        page.locator("#key button").click()
        page.locator("#operations-jobs-jobs_submit").wait_for()
        assert [text for text in wrong if "401" not in text] == []
        wrong.clear()
        page.goto(f"{site.url}/queue/dashboard/queues")
        page.locator("input[name=key]").fill(SECRET)
        page.locator("form.sign-in button").click()
        with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true") as refreshed:
            page.locator("#queue-default").wait_for()
        assert (refreshed.value.status, wrong) == (200, [])
