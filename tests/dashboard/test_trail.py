"""What is done on the dashboard is in the audit trail, and so are sign-ins, also refused ones; and the page of it."""

import re
from uuid import uuid4

import pytest

from tests.app.calls import APP
from tests.changes import PARTS, SENT, Seeds
from tests.dashboard.conftest import sign_in

#: Every form of the dashboard but those of a session, taken from the application itself.
FORMS = sorted(
    rule.rule
    for rule in APP.url_map.iter_rules()
    if rule.rule.startswith("/dashboard") and "POST" in (rule.methods or ()) and "/sign-" not in rule.rule
)

#: What submitters do with their own batches.
NOT_AUDITED = {"/dashboard/batches/<batch_id>/seal"}


@pytest.fixture(scope="module")
def admin(locked):
    with sign_in(locked, "admin-secret") as visitor:
        yield visitor


@pytest.fixture(scope="module")
def reader(locked):
    with sign_in(locked, "read-secret") as visitor:
        yield visitor


@pytest.fixture
def press(client):
    """Send a form as a visitor; return the answer and the entries that it has left."""

    def _press(visitor, path, **sent):
        request_id = f"press-{uuid4().hex}"
        token = re.search(r'name="token" value="(\w+)"', visitor.get("/dashboard/limits").text)
        data = {"token": token[1] if token else "", **sent.pop("data", {})}
        answer = visitor.post(path, data=data, headers={"X-Request-ID": request_id, **sent.pop("headers", {})})
        return answer, [each for each in client.audit(limit=500).entries if each.request_id == request_id]

    return _press


def test_there_are_forms():
    assert len(FORMS) > 10


@pytest.mark.parametrize("route", [route for route in FORMS if route not in NOT_AUDITED])
def test_every_form_is_one_entry(admin, client, press, route):
    assert f"POST {route}" in PARTS, "say in tests/changes.py what it changes"
    parts = PARTS[f"POST {route}"](Seeds(client))
    path = re.sub(r"<(\w+)>", lambda found: parts[found[1]], route)
    answer, (entry,) = press(admin, path, **SENT.get(f"POST {route}", {}))
    assert answer.status_code == 303, answer.text
    assert (entry.who, entry.through, entry.address) == ("ops", "dashboard", "127.0.0.1")
    assert (entry.result, "." in entry.action) == ("done", True)


@pytest.mark.parametrize("route", FORMS)
def test_a_form_that_is_denied_is_one_entry_and_one_without_a_session_or_its_token_is_none(
    locked, admin, reader, press, route
):
    path = re.sub(r"<\w+>", "none", route)
    answer, (entry,) = press(reader, path)
    assert (answer.status_code, entry.who, entry.result) == (403, "board", "denied")
    # A key in a header opens no page, and says nothing of who is there.
    answer, entries = press(locked, path, headers={"X-API-Key": "admin-secret"})
    assert (answer.status_code, entries) == (303, [])
    answer, entries = press(admin, path, data={"token": "0" * 64})
    assert (answer.status_code, entries) == (403, [])


def test_signing_in_and_out_are_entries_and_so_is_a_key_that_is_unknown_or_may_not(locked, client, press):
    _, (entry,) = press(locked, "/dashboard/sign-in", data={"key": "wrong"}, headers={"X-API-Key": "admin-secret"})
    assert (entry.action, entry.who, entry.result, entry.address) == ("sign_in", "", "refused", "127.0.0.1")
    _, (entry,) = press(locked, "/dashboard/sign-in", data={"key": "submit-secret"})
    assert (entry.action, entry.who, entry.result) == ("sign_in", "shop", "denied")
    with sign_in(locked, "admin-secret") as visitor:
        assert (client.audit(limit=1).entries[0].action, client.audit(limit=1).entries[0].details) == (
            "sign_in",
            "admin",
        )
        _, (entry,) = press(visitor, "/dashboard/sign-out")
        assert (entry.action, entry.who, entry.through, entry.result) == ("sign_out", "ops", "dashboard", "done")
    assert "secret" not in str(client.audit(limit=500))
