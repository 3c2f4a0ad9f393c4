"""Schedules over HTTP: their versions, and changes that depend on them; pages."""

from uuid import uuid4

import msgspec
import pytest

from gopher import HttpClient
from gopher.errors import ScheduleChanged
from gopher.jobs.schedule import ScheduleSpec

SPEC = {"cron_expression": "0 3 * * *", "type": "cleanup", "payload": {}}


@pytest.fixture
def path() -> str:
    return f"/api/v1/schedules/s-{uuid4().hex[:8]}"


def test_every_answer_with_a_schedule_has_its_version_as_etag(api, path):
    tags = []
    for answer in (
        api.put(path, json=SPEC),
        api.get(path),
        api.post(f"{path}/pause"),
        api.post(f"{path}/resume"),
        api.put(path, json={**SPEC, "priority": "high"}),
    ):
        assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
        tags.append(answer.headers["ETag"])
    assert tags[0] == tags[1]
    assert len(set(tags)) == 4


@pytest.mark.parametrize("tag", ['"of-another-version"', "W/{}", '"a", "b"', "nonsense", ""])
@pytest.mark.parametrize(
    ("method", "act", "body"),
    [("PUT", "", {**SPEC, "priority": "high"}), ("DELETE", "", None), ("POST", "/pause", None)],
)
def test_a_change_of_another_version_is_refused_and_changes_nothing(api, path, method, act, body, tag):
    made = api.put(path, json=SPEC)
    tag = tag.format(made.headers["ETag"])
    answer = api.request(method, path + act, json=body, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert made.json()["version"] in answer.json()["details"]
    assert api.get(path).json() == made.json()


@pytest.mark.parametrize("tag", ["{}", "*", '"another", {}'])
def test_a_change_of_the_version_that_is_there_is_made(api, path, tag):
    for method, act, body in (
        ("PUT", "", {**SPEC, "priority": "high"}),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("DELETE", "", None),
    ):
        made = api.put(path, json=SPEC)
        answer = api.request(method, path + act, json=body, headers={"If-Match": tag.format(made.headers["ETag"])})
        assert answer.status_code == 200
    assert api.get(path).status_code == 404


def test_one_that_is_not_there_has_no_version(api, path):
    assert api.put(path, json=SPEC, headers={"If-Match": "*"}).status_code == 412
    assert api.post(f"{path}/pause", headers={"If-Match": "*"}).status_code == 404
    assert api.delete(path, headers={"If-Match": '"1-x"'}).status_code == 404


def test_one_that_has_to_be_new_is_created_once(api, path):
    answers = [api.put(path, json=SPEC, headers={"If-None-Match": "*"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 412]
    for headers in ({"If-None-Match": '"x"'}, {"If-None-Match": "*", "If-Match": "*"}):
        answer = api.put(path, json=SPEC, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert api.post(f"{path}/pause", headers={"If-None-Match": "*"}).status_code == 400


def test_a_repeat_of_a_replacement_is_no_conflict(api, path):
    version = {"If-Match": api.put(path, json=SPEC).headers["ETag"]}
    changed = {**SPEC, "priority": "high"}
    answers = [api.put(path, json=changed, headers=version) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


def test_the_python_client_does_the_same(api, path):
    name = path.rpartition("/")[2]
    spec = ScheduleSpec(cron_expression="0 3 * * *", type="cleanup", payload=msgspec.Raw(b"{}"))
    later = msgspec.structs.replace(spec, priority="high")
    with HttpClient(str(api.base_url)) as gopher:
        view, answer = gopher.schedules.put(name, spec, "")
        assert (answer, gopher.schedules.get(name)) == ("CREATED", view)
        with pytest.raises(ScheduleChanged, match="exists already"):
            gopher.schedules.put(name, later, "")
        assert gopher.schedules.put(name, later, f"other,{view.version}")[1] == "REPLACED"
        for act in (
            lambda: gopher.schedules.put(name, spec, view.version),
            lambda: gopher.schedules.pause(name, view.version),
            lambda: gopher.schedules.delete(name, view.version),
        ):
            with pytest.raises(ScheduleChanged, match=f"not {view.version}"):
                act()
        assert gopher.schedules.pause(name, "*").paused
        gopher.schedules.delete(name, gopher.schedules.get(name).version)


def test_schedules_are_listed_page_by_page(api, path):
    for number in range(5):
        api.put(f"{path}-{number}", json=SPEC)
    listed = [row["name"] for row in api.get("/api/v1/schedules").json()["schedules"]]
    found, cursor = [], None
    while True:
        parameters = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        page = api.get("/api/v1/schedules", params=parameters).json()
        assert 1 <= len(page["schedules"]) <= 2
        found += [row["name"] for row in page["schedules"]]
        if (cursor := page.get("next_cursor")) is None:
            break
    assert found == listed
    assert api.get("/api/v1/schedules", params={"cursor": "<>"}).json()["field"] == "/cursor"
    with HttpClient(str(api.base_url)) as gopher:
        assert [view.name for view in gopher.schedules.all()] == listed
    for name in listed:
        api.delete(f"/api/v1/schedules/{name}")
