"""Who sees the dashboard and may press its buttons: keys, sessions, forms of other sites."""

import hashlib
import json
import re
from collections.abc import Iterator

import pytest
from gopher.app import create_app
from gopher.app.dashboard import attempts

from gopher.admin.admission import Turnstile
from gopher.base.rates import Rate
from gopher.client import Client
from gopher.config.settings import Settings
from tests.app.conftest import Api, running_api
from tests.dashboard.conftest import KEYS, sign_in
from tests.dashboard.reading import Page
from tests.helpers import wait_until

JOB = "/jobs/01a20d1a-5744-7ea1-87d0-36604a225da3"
PAGES = (
    "",
    "/jobs",
    JOB,
    "/dead",
    "/batches",
    "/schedules",
    "/queues",
    "/workers",
    "/limits",
    "/webhooks",
    "/audit",
    "/series",
    "/nowhere",
)


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


def test_asks_for_a_key_and_continues_to_the_page_that_was_wanted(locked, job_id):
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


def test_the_token_of_a_form_is_read_once_the_form_is_there(admin, client, job_id):
    form = Page(admin.get(f"/dashboard/jobs/{job_id}")).form("/cancel")
    # The visitor is checked before the form is received.
    first = {"Expect": "100-continue"}
    assert admin.post(form.action, data={**form.fields, "token": "0" * 64}, headers=first).status_code == 403
    assert admin.post(form.action, data={**form.fields, "more": "x" * 200_000}).status_code == 413
    assert client.job(job_id).status == "pending"
    assert admin.post(form.action, data=form.fields, headers=first).status_code == 303
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


def test_without_keys_only_names_of_this_machine_are_served(board):
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
def test_no_redirect_leaves_the_dashboard(locked, target):
    answer = locked.post("/dashboard/sign-in", data={"key": "read-secret", "next": target})
    locked.cookies.clear()
    assert answer.headers["Location"] == "/dashboard"


def test_a_link_on_another_site_leads_to_the_page_all_the_same(locked):
    """A browser leaves a SameSite=Strict cookie behind on such a click; a page of ours loads itself again with it."""
    answer = locked.get("/dashboard/jobs?status=failed", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert ("meta", {"http-equiv": "refresh", "content": "0"}) in Page(answer).tags


# Sessions


@pytest.fixture
def visitor_of(redis_url, namespace):
    """Return a browser of a process of its own, which has these keys."""

    def _visitor_of(keys=KEYS, address="192.0.2.1", **variables):
        settings = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": keys, **variables}
        visitor = create_app(Settings.from_env(settings)).test_client()
        visitor.environ_base["REMOTE_ADDR"] = address
        return visitor

    return _visitor_of


@pytest.fixture
def stored(redis_url, namespace):
    """The server, and the keys of the sessions that it has."""
    with Client(redis_url, namespace=namespace) as client:
        yield client.server.client, lambda: client.server.client.keys(f"{namespace}:session:*")


def session_of(visitor, secret="admin-secret"):
    answer = visitor.post("/dashboard/sign-in", data={"key": secret})
    assert answer.status_code == 303, answer.text
    return answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]


def is_in(visitor, session, **headers):
    visitor.set_cookie("gopher_dashboard", session, path="/dashboard")
    # Who is in finds nothing there; who is not is asked for a key.
    return visitor.get("/dashboard/nowhere", headers=headers).status_code == 404


def test_any_process_knows_a_session_and_it_ends_with_its_key(visitor_of):
    session = session_of(visitor_of())
    assert is_in(visitor_of(), session)
    assert is_in(visitor_of("ops:admin-secret:read"), session)
    assert not is_in(visitor_of("ops:another-secret"), session)
    assert not is_in(visitor_of("boss:admin-secret"), session)
    assert not is_in(visitor_of("ops:admin-secret:submit"), session)


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: "A" + text, lambda text: "", lambda text: "é"])
def test_a_session_that_was_changed_is_none(visitor_of, change):
    assert not is_in(visitor_of(), change(session_of(visitor_of())))


def test_a_session_is_random_and_the_server_knows_neither_it_nor_the_key(visitor_of, stored):
    redis, sessions = stored
    first, second = session_of(visitor_of()), session_of(visitor_of())
    assert len(first) == len(second) == 43
    assert first != second
    kept = [name + redis.get(name) for name in sessions()]
    assert len(kept) == 2
    digest = hashlib.sha256(b"admin-secret")
    for secret in (first, second, "admin-secret", digest.hexdigest()):
        assert not [each for each in kept if secret.encode() in each]


def test_a_copied_cookie_ends_with_signing_out_and_with_signing_in_again(visitor_of, stored):
    visitor = visitor_of()
    first = session_of(visitor)
    second = session_of(visitor)
    assert (is_in(visitor_of(), first), is_in(visitor_of(), second)) == (False, True)
    (token,) = set(re.findall(r'name="token" value="(\w+)"', visitor.get("/dashboard/limits").text))
    assert visitor.post("/dashboard/sign-out", data={"token": "0" * 64}).status_code == 403
    assert is_in(visitor_of(), second)
    assert visitor.post("/dashboard/sign-out", data={"token": token}).status_code == 303
    assert not is_in(visitor_of(), second)
    assert stored[1]() == []


def test_a_session_ends_some_time_after_the_last_click_and_a_page_that_refreshes_itself_is_none(visitor_of, stored):
    redis, sessions = stored
    session = session_of(visitor_of())
    (place,) = sessions()
    assert 7100 < redis.ttl(place) <= 7200
    redis.expire(place, 3000)
    assert is_in(visitor_of(), session, **{"HX-Request": "true"})
    assert redis.ttl(place) <= 3000
    assert is_in(visitor_of(), session)
    assert 7100 < redis.ttl(place) <= 7200
    redis.pexpire(place, 1)
    wait_until(lambda: not is_in(visitor_of(), session))


def test_a_session_ends_after_twelve_hours_whatever_is_clicked(visitor_of, stored):
    redis, sessions = stored
    session = session_of(visitor_of())
    (place,) = sessions()
    record = json.loads(redis.get(place))
    seconds, _ = redis.time()
    assert 12 * 3600 - 60 < record["ends"] / 1000 - seconds <= 12 * 3600 + 1
    redis.set(place, json.dumps({**record, "ends": (seconds + 1000) * 1000}), ex=900)
    assert is_in(visitor_of(), session)
    assert 900 < redis.ttl(place) <= 1000
    redis.set(place, json.dumps({**record, "ends": (seconds - 1) * 1000}), ex=900)
    # What was still shown is the last.
    is_in(visitor_of(), session)
    assert not is_in(visitor_of(), session)


def test_the_limits_of_sessions_are_settings(visitor_of, stored):
    redis, sessions = stored
    visitor = visitor_of(GOPHER_SESSION_IDLE="10h", GOPHER_SESSION_MAX="1h")
    answer = visitor.post("/dashboard/sign-in", data={"key": "admin-secret"})
    assert "Max-Age=3600" in answer.headers["Set-Cookie"]
    assert 3500 < redis.ttl(sessions()[0]) <= 3600


def test_a_session_that_can_not_be_read_is_none(visitor_of, stored):
    redis, sessions = stored
    session = session_of(visitor_of())
    redis.set(sessions()[0], b"\xff")
    assert not is_in(visitor_of(), session)


# Attempts


def guess(visitor, key="wrong"):
    return visitor.post("/dashboard/sign-in", data={"key": key})


def test_attempts_of_an_address_are_slowed_down_in_all_processes_together(visitor_of, monkeypatch):
    # Refilled so slowly that it does not matter how fast this test runs.
    monkeypatch.setattr(attempts, "_OF_ONE", Turnstile(Rate(attempts._OF_ONE.tokens, 86400.0)))
    statuses = [guess(visitor_of()).status_code for _ in range(13)]
    assert statuses == [401] * 10 + [429] * 3
    answer = guess(visitor_of(), "admin-secret")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 8640
    assert "Too many attempts to sign in. Try again in" in answer.text
    # Others are not.
    assert guess(visitor_of(address="192.0.2.2"), "admin-secret").status_code == 303


def test_signing_in_does_not_count_as_an_attempt(visitor_of):
    visitor = visitor_of()
    assert {guess(visitor, "admin-secret").status_code for _ in range(15)} == {303}


def test_a_guesser_with_many_addresses_is_slowed_down_and_keeps_out_nobody_who_has_been_in(visitor_of, monkeypatch):
    # Refilled so slowly that it doesn't matter how fast this test runs.
    monkeypatch.setattr(attempts, "_OF_ALL", Turnstile(Rate(attempts._OF_ALL.tokens, 86400.0)))
    assert guess(visitor_of(address="192.0.2.9"), "admin-secret").status_code == 303
    visitor = visitor_of()
    statuses = []
    for number in range(130):
        visitor.environ_base["REMOTE_ADDR"] = f"198.51.100.{number}"
        statuses.append(guess(visitor).status_code)
    assert statuses == [401] * 120 + [429] * 10
    assert guess(visitor_of(address="203.0.113.1"), "admin-secret").status_code == 429
    assert guess(visitor_of(address="192.0.2.9"), "admin-secret").status_code == 303


def test_addresses_of_one_ipv6_network_are_one(visitor_of, monkeypatch):
    monkeypatch.setattr(attempts, "_OF_ONE", Turnstile(Rate(attempts._OF_ONE.tokens, 86400.0)))
    visitor, statuses = visitor_of(), []
    for number in range(11):
        visitor.environ_base["REMOTE_ADDR"] = f"2001:db8::{number:x}"
        statuses.append(guess(visitor).status_code)
    assert statuses == [401] * 10 + [429]


@pytest.fixture
def own_client(redis_url, namespace):
    """A client of key spaces that end with the test: where a key has been kept, the API is never open again."""
    with Client(redis_url, namespace=namespace) as client:
        yield client


def test_a_key_that_is_kept_on_the_server_signs_in_until_it_is_revoked(visitor_of, own_client):
    key, visitor = own_client.keys.create("night shift", "read"), visitor_of()
    assert guess(visitor, key.secret).status_code == 303
    assert visitor.get("/dashboard").status_code == 200
    own_client.keys.revoke(key.key_id)
    wait_until(lambda: visitor.get("/dashboard").status_code == 303, 60, "the session to end with its key")
    assert guess(visitor, key.secret).status_code == 401


def test_a_key_that_is_limited_to_a_queue_signs_in_nowhere(visitor_of, own_client):
    key = own_client.keys.create("tenant", "admin", queues=["mail"])
    answer = guess(visitor_of(), key.secret)
    assert answer.status_code == 403
    assert "limited to some queues or job types" in answer.text
    assert "Set-Cookie" not in answer.headers
