"""No page has a character that steers a terminal, turns text around or makes one line look like two."""

import json

import pytest

from gopher.base.printable import printable
from tests.app.conftest import EMAIL
from tests.dashboard.reading import Page

#: Of every kind: a terminal's sequences, C1, what turns text around, and what hides.
STEERING = "a\x1b[31mb\x9b31mc\x7f\u202egpj.exe\u2066d\u200fe\u061cf\u2028g\r"
SHOWN = printable(STEERING)


@pytest.fixture
def job_id(client, queue, worker):
    job_id = client.enqueue("email", {**EMAIL, "body": STEERING}, queue=queue, metadata={STEERING: STEERING})
    worker.dead_letter(worker.fetch()[0], "ValueError")
    reason = {"type": STEERING, "message": STEERING, "traceback": f"line\n{STEERING}", "permanent": False}
    keys = client.server.keys.for_queue(queue)
    row = {"attempt": 1, "outcome": "failed", "worker": STEERING, "started_at": 1, "ended_at": 2, "error": reason}
    fields = {"error": json.dumps(reason), "history": json.dumps([row]), "progress": json.dumps({"message": STEERING})}
    client.server.client.hset(keys.job(job_id), mapping=fields)
    return job_id


def steering(text):
    return {each for each in text if each != "\n" and printable(each, keep="\n\t") != each}


def test_no_page_shows_a_control_character(board, client, job_id, queue):
    event = {"who": STEERING, "through": "api", "action": STEERING, "on": {STEERING: STEERING}, "details": STEERING}
    client.server.client.xadd(client.server.keys.audit, {"event": json.dumps(event)})
    paths = [f"/jobs/{job_id}", f"/jobs?queue={queue}", f"/dead?queue={queue}", "/audit", "/workers", ""]
    for path in paths:
        answer = board.get(f"/dashboard{path}")
        assert answer.status_code == 200
        assert steering(answer.text) == set(), path
    page = Page(board.get(f"/dashboard/jobs/{job_id}"))
    assert page.text.count(" ".join(SHOWN.split())) >= 3


@pytest.mark.parametrize("path", ["/jobs", "/audit", "/dead", "/sign-in"])
def test_no_page_shows_a_control_character_of_its_address(board, locked, path):
    for api in (board, locked):
        for parameters in ({"who": STEERING, "type": STEERING, "id": STEERING}, {STEERING: "1"}, {"next": STEERING}):
            answer = api.get(f"/dashboard{path}", params=parameters, follow_redirects=True)
            assert steering(answer.text) == set()
