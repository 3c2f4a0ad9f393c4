"""Who sees the dashboard and may press its buttons: keys, sessions, forms of other sites."""

from collections.abc import Iterator

import pytest
import time_machine
from gopher.app import create_app

from gopher.config.settings import Settings
from tests.app.conftest import Api, running_api
from tests.dashboard.conftest import KEYS, sign_in
from tests.dashboard.reading import Page

JOB = "/jobs/01a20d1a-5744-7ea1-87d0-36604a225da3"
PAGES = ("", "/jobs", JOB, "/dead", "/schedules", "/queues", "/workers", "/limits", "/series", "/nowhere")


@pytest.fixture
def job_id(client, queue) -> str:
    return client.enqueue("email", {"to": "a@example.com", "subject": "the secret subject", "body": "b"}, queue=queue)


@pytest.fixture
def admin(locked) -> Iterator[Api]:
    with sign_in(locked, "admin-secret") as visitor:
        yield visitor


@pytest.fixture
def reader(locked) -> Iterator[Api]:
    with sign_in(locked, "read-secret") as visitor:
        yield visitor


@pytest.mark.parametrize("path", PAGES)
def test_without_a_key_nothing_is_shown(locked, client, path, job_id):
    answer = locked.get(f"/dashboard{path}")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/dashboard/sign-in?next=")
    assert client.settings.namespace not in answer.text
    refreshed = locked.get(f"/dashboard{path}", headers={"HX-Request": "true"})
    assert (refreshed.status_code, refreshed.text) == (401, "")
    assert refreshed.headers["HX-Redirect"].startswith("/dashboard/sign-in")


def test_the_header_that_the_api_takes_opens_no_page(locked):
    assert locked.get("/dashboard", headers={"X-API-Key": "admin-secret"}).status_code == 303


def test_asks_for_a_key_and_goes_on_to_the_page_that_was_wanted(locked, job_id):
    page = Page(locked.get(f"/dashboard/jobs/{job_id}", follow_redirects=True))
    form = page.form("/sign-in")
    assert "the secret subject" not in page.text
    with Api(locked.base_url.port, locked.process, locked.log) as visitor:
        answer = visitor.post(form.action, data={**form.fields, "key": "read-secret"}, follow_redirects=True)
        assert answer.url.path == f"/dashboard/jobs/{job_id}"
        assert "the secret subject" in Page(answer).text


@pytest.mark.parametrize(("secret", "status"), [("wrong-secret", 401), ("", 401), ("submit-secret", 403)])
def test_refuses_a_key_that_is_unknown_or_may_only_submit(locked, secret, status):
    answer = locked.post("/dashboard/sign-in", data={"key": secret})
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers
    assert "secret" not in locked.log.read_text()


def test_keys_can_not_be_tried_without_end(folder, redis_url, namespace):
    variables = {
        "GOPHER_NAMESPACE": namespace,
        "GOPHER_API_KEYS": KEYS,
        "GOPHER_API_RATE": "3/h",
        "WEB_CONCURRENCY": "1",
    }
    with running_api(folder, redis_url, **variables) as api:
        answers = [api.post("/dashboard/sign-in", data={"key": f"guess-{number}"}) for number in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert "too many requests" in Page(answers[-1]).text
        assert api.get("/dashboard/sign-in").status_code == 200


def test_the_session_is_out_of_reach_of_scripts_and_other_sites(locked):
    answer = locked.post("/dashboard/sign-in", data={"key": "read-secret"})
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/dashboard"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    behind_tls = locked.post("/dashboard/sign-in", data={"key": "read-secret"}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in behind_tls.headers["Set-Cookie"]
    locked.cookies.clear()


def test_a_key_that_may_read_sees_everything_and_has_no_buttons(reader, client, job_id):
    page = Page(reader.get(f"/dashboard/jobs/{job_id}"))
    assert "the secret subject" in page.text
    assert [form.button for form in page.forms] == ["Sign out"]
    sign_out = page.forms[0].fields
    refused = reader.post(f"/dashboard/jobs/{job_id}/cancel", data=sign_out)
    assert refused.status_code == 403
    assert "this requires admin" in Page(refused).text
    assert client.job(job_id).status == "pending"


def test_a_key_that_may_do_everything_has_buttons(admin, client, job_id):
    page = Page(admin.get(f"/dashboard/jobs/{job_id}"))
    form = page.form("/cancel")
    assert admin.post(form.action, data=form.fields).status_code == 303
    assert client.job(job_id).status == "cancelled"


@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_an_act_without_the_token_of_its_session_is_refused(admin, client, job_id, token):
    answer = admin.post(f"/dashboard/jobs/{job_id}/cancel", data={} if token is None else {"token": token})
    assert answer.status_code == 403
    assert client.job(job_id).status == "pending"


def test_the_token_of_another_session_is_refused(locked, admin, client, job_id):
    with sign_in(locked, "admin-secret") as other:
        fields = Page(other.get(f"/dashboard/jobs/{job_id}")).form("/cancel").fields
    assert admin.post(f"/dashboard/jobs/{job_id}/cancel", data=fields).status_code == 403
    assert client.job(job_id).status == "pending"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_an_act_from_another_sites_page_is_refused(admin, board, client, job_id, origin):
    for visitor in (admin, board):
        form = Page(visitor.get(f"/dashboard/jobs/{job_id}")).form("/cancel")
        assert visitor.post(form.action, data=form.fields, headers={"Origin": origin}).status_code == 403
    assert client.job(job_id).status == "pending"


def test_without_keys_a_form_still_needs_the_token_of_its_browser(board, client, job_id):
    form = Page(board.get(f"/dashboard/jobs/{job_id}")).form("/cancel")
    with Api(board.base_url.port, board.process, board.log) as stranger:
        assert stranger.post(form.action, data=form.fields).status_code == 403
    assert board.post(form.action, data=form.fields).status_code == 303
    assert client.job(job_id).status == "cancelled"


def test_without_keys_only_a_name_of_this_machine_leads_to_it(board):
    """A page may have its own name lead to 127.0.0.1: then its scripts would be at home here."""
    answer = board.get("/dashboard", headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "is neither this machine" in Page(answer).text
    for host in ("[::1", "a b", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.7", ""):
        assert board.get("/dashboard", headers={"Host": host}).status_code in (400, 403)
    for host in ("localhost:8080", "127.0.0.1", "[::1]:80", "gopher.localhost"):
        assert board.get("/dashboard", headers={"Host": host}).status_code == 200


def test_after_signing_out_the_browser_has_no_session(admin):
    form = Page(admin.get("/dashboard")).form("/sign-out")
    admin.post(form.action, data=form.fields)
    assert not admin.cookies
    assert admin.get("/dashboard").status_code == 303


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/dashboard\\@evil.example", "/api/v1/jobs", "/dashboards", "//[", ""],
)
def test_nobody_is_sent_elsewhere(locked, target):
    answer = locked.post("/dashboard/sign-in", data={"key": "read-secret", "next": target})
    locked.cookies.clear()
    assert answer.headers["Location"] == "/dashboard"


def test_a_link_on_another_site_leads_to_the_page_all_the_same(locked):
    """A browser leaves a SameSite=Strict cookie behind on such a click; a page of ours loads itself again with it."""
    answer = locked.get("/dashboard/jobs?status=failed", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert ("meta", {"http-equiv": "refresh", "content": "0"}) in Page(answer).tags


# Sessions, without a server: nothing of them is kept


def visitor_of(keys):
    return create_app(Settings.from_env({"GOPHER_API_KEYS": keys})).test_client()


def session_of(keys, secret):
    answer = visitor_of(keys).post("/dashboard/sign-in", data={"key": secret})
    return answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]


def is_in(keys, session):
    visitor = visitor_of(keys)
    visitor.set_cookie("gopher_dashboard", session, path="/dashboard")
    # Who is in finds nothing there; who is not is asked for a key.
    return visitor.get("/dashboard/nowhere").status_code == 404


def test_any_process_knows_a_session_and_it_ends_with_its_key():
    session = session_of(KEYS, "admin-secret")
    assert is_in(KEYS, session)
    assert is_in("ops:admin-secret:read", session)
    assert not is_in("ops:another-secret", session)
    assert not is_in("boss:admin-secret", session)
    assert not is_in("ops:admin-secret:submit", session)


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: "A" + text, lambda text: "", lambda text: "é"])
def test_a_session_that_was_changed_is_none(change):
    assert not is_in(KEYS, change(session_of(KEYS, "admin-secret")))


def test_a_session_ends_after_twelve_hours():
    with time_machine.travel("2026-11-24T08:00Z", tick=False) as clock:
        session = session_of(KEYS, "admin-secret")
        clock.shift(12 * 3600)
        assert is_in(KEYS, session)
        clock.shift(1)
        assert not is_in(KEYS, session)
