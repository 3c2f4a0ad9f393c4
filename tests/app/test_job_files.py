"""Jobs with files: submitted and downloaded by plain HTTP, as curl does, with a real worker in between."""

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from subprocess import PIPE, Popen
from tempfile import SpooledTemporaryFile, TemporaryFile
from urllib.parse import quote
from uuid import uuid4

import pytest

from gopher import HttpClient
from gopher.client import Client
from gopher.errors import InvalidJob
from tests.app.conftest import running_api
from tests.app.test_uploads import KEYS, OTHER, PNG, SHOP, png
from tests.helpers import wait_until
from tests.worker.processes import ROOT, Worker

READER = {"X-API-Key": "a-secret-to-read-with-1"}
SAMPLE = bytes(range(256)) * 4096


@pytest.fixture(scope="module", params=["file:", pytest.param("redis:", marks=pytest.mark.deep)])
def api(request, tmp_path_factory, redis_url) -> Iterator:
    folder = tmp_path_factory.mktemp("files")
    variables = {
        "GOPHER_NAMESPACE": f"files-{uuid4().hex[:8]}",
        "GOPHER_STORE": request.param,
        "GOPHER_FILES": str(folder / "files"),
        "GOPHER_HANDLERS": "tests.app.file_handlers",
        "GOPHER_PAYLOAD_MAX": "700KiB",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(ROOT))
        with Client(redis_url) as client:
            worker = Worker(client, folder, **variables)
            try:
                keys = {"GOPHER_API_KEYS": KEYS, "WEB_CONCURRENCY": "1"}
                with running_api(folder, redis_url, **keys) as api:
                    api.client = client
                    api.headers.update(SHOP)
                    yield api
            finally:
                worker.destroy()


def submit(api, files: dict, job: dict | None = None, **more):
    fields = {"type": "copies", "payload": {}, **(job or {})}
    parts = {"job": (None, json.dumps(fields)), **files}
    return api.post("/api/v1/jobs", params={"wait": 20}, files=parts, **more)


@pytest.fixture(scope="module")
def job_id(api) -> str:
    """A job of the shop that has stored a picture, bytes, a page and a file with a name of other letters."""
    files = {
        "picture": ("cat.png", PNG, "image/png"),
        "sample": ("sample.bin", SAMPLE),
        "page": ("page.html", b"<script>alert(1)</script>"),
        "cat": ("猫 1.png", PNG),
        "drawing": ("a.svg", b"<svg/>"),
    }
    answer = submit(api, files)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    assert answer.json()["files"]["sample"] == {
        "name": "sample.bin",
        "size": len(SAMPLE),
        "content_type": "application/octet-stream",
    }
    return answer.json()["job_id"]


def test_the_files_of_a_job_are_listed_with_their_urls(api, job_id):
    files = api.get(f"/api/v1/jobs/{job_id}/files").json()["files"]
    assert [each["name"] for each in files] == ["a.svg", "cat.png", "page.html", "sample.bin", "猫 1.png"]
    assert files[1] == {
        "name": "cat.png",
        "size": len(PNG),
        "content_type": "image/png",
        "url": f"/api/v1/jobs/{job_id}/files/cat.png",
    }
    for each in files:
        assert len(api.get(each["url"]).content) == each["size"]


@pytest.mark.parametrize(
    ("name", "kind", "disposition"),
    [
        ("cat.png", "image/png", "inline; filename=\"cat.png\"; filename*=UTF-8''cat.png"),
        ("page.html", "text/html", "attachment; filename=\"page.html\"; filename*=UTF-8''page.html"),
        ("a.svg", "image/svg+xml", "attachment; filename=\"a.svg\"; filename*=UTF-8''a.svg"),
        ("猫 1.png", "image/png", "inline; filename=\"_ 1.png\"; filename*=UTF-8''%E7%8C%AB%201.png"),
    ],
)
def test_a_download_is_safe_in_a_browser(api, job_id, name, kind, disposition):
    answer = api.get(f"/api/v1/jobs/{job_id}/files/{quote(name)}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299", 100, 300),
        ("bytes=1048000-", 1048000, None),
        ("bytes=-7", -7, None),
        ("bytes=500000-99999999", 500_000, None),
    ],
)
def test_a_part_of_a_file_is_what_the_range_says(api, job_id, asked, start, stop):
    answer = api.get(f"/api/v1/jobs/{job_id}/files/sample.bin", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == SAMPLE[start:stop]
    first = start % len(SAMPLE)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(SAMPLE)}"


def test_what_is_no_range_of_the_file_is_refused_with_its_length(api, job_id):
    answer = api.get(f"/api/v1/jobs/{job_id}/files/sample.bin", headers={"Range": "bytes=9999999-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(SAMPLE)}")
    assert answer.json()["code"] == "range_not_satisfiable"


def test_a_file_that_is_known_is_not_sent_again(api, job_id):
    place = f"/api/v1/jobs/{job_id}/files/sample.bin"
    first = api.get(place)
    etag = first.headers["ETag"]
    assert first.content == SAMPLE
    known = api.get(place, headers={"If-None-Match": etag})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    assert api.get(place, headers={"If-None-Match": '"other"'}).status_code == 200
    part = {"Range": "bytes=0-9", "If-Range": etag}
    assert api.get(place, headers=part).status_code == 206
    assert api.get(place, headers={**part, "If-Range": '"other"'}).status_code == 200


def test_the_head_of_a_file_says_what_the_file_says(api, job_id):
    place = f"/api/v1/jobs/{job_id}/files/sample.bin"
    head, whole = api.head(place), api.get(place)
    names = ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Last-Modified")
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]
    assert (head.content, head.headers["Accept-Ranges"]) == (b"", "bytes")


@pytest.mark.parametrize("name", ["nothing.png", "%2e%2e", "..%5cetc", ".hidden", "a%00b", "%ff"])
def test_what_is_no_file_of_the_job_is_not_found(api, job_id, name):
    answer = api.get(f"/api/v1/jobs/{job_id}/files/{name}")
    assert answer.status_code == 404, answer.text


def test_files_are_for_the_owner_and_for_readers(api, job_id):
    for place in (f"/api/v1/jobs/{job_id}/files", f"/api/v1/jobs/{job_id}/files/cat.png"):
        foreign = api.get(place, headers=OTHER)
        missing = api.get(place.replace(job_id, str(uuid4())), headers=OTHER)
        assert foreign.status_code == missing.status_code == 404
        assert {**foreign.json(), "request_id": "", "details": ""} == {
            **missing.json(),
            "request_id": "",
            "details": "",
        }
        assert api.get(place, headers=READER).status_code == 200


@pytest.fixture(scope="module")
def limited(api):
    """Headers with a key by its owner and role, each limited to jobs of one type."""
    keys = {
        (owner, role): api.client.keys.create(owner, role, (), ("copies",)).secret
        for owner, role in (("shop", "submit"), ("tenant", "submit"), ("tenant", "read"), ("tenant", "admin"))
    }
    return {name: {"X-API-Key": secret} for name, secret in keys.items()}


def told(answer) -> tuple[int, dict]:
    """Return an answer without what names the request and the job."""
    found = answer.json()
    details = re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "ID", found.pop("details", ""))
    return answer.status_code, {**found, "request_id": "", "instance": "", "details": details}


def test_a_limited_key_uploads_submits_and_downloads_only_what_it_is_limited_to(api, limited):
    key = limited["tenant", "submit"]
    upload = api.post("/api/v1/files?name=cat.png", content=PNG, headers=key).json()["file_id"]
    job = {"type": "copies", "payload": {}, "files": {"file": upload}}
    done = api.post("/api/v1/jobs", params={"wait": 20}, json=job, headers=key).json()
    assert done["status"] == "completed"
    assert api.get(f"/api/v1/jobs/{done['job_id']}/files/cat.png", headers=key).content == PNG
    before = {each.key for each in api.client.files.store.list("uploads/")}
    beyond = {"type": "pages", "payload": {"a.txt": "text"}}
    for answer in (
        api.post("/api/v1/jobs", json={**beyond, "files": {"file": upload}}, headers=key),
        submit(api, {"file": ("cat.png", PNG)}, beyond, headers=key),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (403, "forbidden", "/type")
    assert {each.key for each in api.client.files.store.list("uploads/")} == before


@pytest.mark.parametrize("role", ["submit", "read", "admin"])
def test_no_limited_key_learns_of_files_beyond_its_limits(api, job_id, limited, role):
    """Whether its role shows jobs of other owners or not: those of other types are none."""
    key, missing = limited["tenant", role], str(uuid4())
    page = api.post("/api/v1/jobs", params={"wait": 20}, json={"type": "pages", "payload": {"cat.png": "text"}})
    beyond = [page.json()["job_id"], *([job_id] if role == "submit" else [])]
    for path in ("", "/cat.png", "/nothing.png", "/cat.png?redirect=false"):
        for method in ("GET", "HEAD"):
            answers = [
                api.request(method, f"/api/v1/jobs/{each}/files{path}", headers=key) for each in (*beyond, missing)
            ]
            assert {answer.status_code for answer in answers} == {404}
            if method == "GET":
                assert [told(answer) for answer in answers] == [told(answers[-1])] * len(answers)
    within = api.get(f"/api/v1/jobs/{job_id}/files/cat.png", headers=key)
    assert within.status_code == (404 if role == "submit" else 200)


def test_no_key_uses_uploads_of_another_owner_whatever_its_role(api, limited):
    theirs, missing = api.post("/api/v1/files", content=PNG).json()["file_id"], str(uuid4())
    for role in ("submit", "read", "admin"):
        for dry_run in (0, 1):
            first, second = (
                told(
                    api.post(
                        "/api/v1/jobs",
                        params={"dry_run": dry_run},
                        json={"type": "copies", "payload": {}, "files": {"file": each}},
                        headers=limited["tenant", role],
                    )
                )
                for each in (theirs, missing)
            )
            assert first == second
            assert (first[0], first[1]["field"]) == (400, "/files/file")
    # Another key of the same owner.
    job = {"type": "copies", "payload": {}, "files": {"file": theirs}}
    assert api.post("/api/v1/jobs", json=job, headers=limited["shop", "submit"]).status_code == 201


# Submitting


def test_an_upload_can_be_used_by_several_jobs_in_every_form_of_submission(api):
    upload = api.post("/api/v1/files?name=cat.png", content=PNG).json()
    job = {"type": "copies", "payload": {}, "files": {"file": upload["file_id"]}}
    one = api.post("/api/v1/jobs", params={"wait": 20}, json=job).json()["job_id"]
    others = api.post("/api/v1/jobs/batch", json={"jobs": [job, job]}).json()["jobs"]
    kinds = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    lines = api.post("/api/v1/jobs/batch", content=f"{json.dumps(job)}\n" * 2, headers=kinds)
    ids = [
        one,
        *(each["job_id"] for each in others),
        *(json.loads(line)["job_id"] for line in lines.text.splitlines() if "job_id" in line),
    ]
    assert len(ids) == 5, lines.text
    for each in ids:
        wait_until(lambda each=each: api.client.job(each).status == "completed")
        assert api.get(f"/api/v1/jobs/{each}/files/cat.png").content == PNG


def test_a_large_payload_is_a_file_of_the_job_in_every_form_of_submission(api):
    payload = {"text": "x" * 300_000}
    job = {"type": "lengths", "payload": payload}
    lines = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    answers = (
        api.post("/api/v1/jobs", json=job),
        api.post("/api/v1/jobs", files={"job": (None, json.dumps(job))}),
        api.post("/api/v1/jobs/batch", json={"jobs": [job, job]}),
        api.post("/api/v1/jobs/batch", content=f"{json.dumps(job)}\n" * 2, headers=lines),
    )
    ids = [found for answer in answers for found in re.findall('"job_id": ?"([^"]+)"', answer.text)]
    assert len(ids) == 6, [answer.text for answer in answers]
    for job_id in ids:
        view = api.get(f"/api/v1/jobs/{job_id}?wait=20").json()
        assert (view["status"], view["result"]) == ("completed", 300_000)
        (file,) = api.get(f"/api/v1/jobs/{job_id}/files").json()["files"]
        assert view["payload"] == {"$file": "payload.json", "bytes": file["size"]}
        assert api.get(file["url"]).json() == payload
        assert api.get(file["url"], headers=OTHER).status_code == 404
    too_large = {**job, "payload": {"text": "x" * 750_000}}
    for answer in (api.post("/api/v1/jobs", json=too_large), api.post("/api/v1/jobs?dry_run=1", json=too_large)):
        assert (answer.status_code, answer.json()["field"]) == (413, "/payload")
        assert "716800 (GOPHER_PAYLOAD_MAX)" in answer.json()["details"]


def test_one_upload_that_does_not_exist_is_reported_with_its_place(api):
    job = {"type": "copies", "payload": {}}
    bad = {**job, "files": {"file": str(uuid4())}}
    single = api.post("/api/v1/jobs", json=bad)
    assert (single.status_code, single.json()["field"]) == (400, "/files/file")
    batch = api.post("/api/v1/jobs/batch", json={"jobs": [job, bad]})
    assert (batch.status_code, batch.json()["errors"][0]["field"]) == (400, "/files/file")
    lines = api.post(
        "/api/v1/jobs/batch",
        content=f"{json.dumps(job)}\n{json.dumps(bad)}\n",
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert (lines.status_code, lines.json()["accepted"], lines.json()["rejected"]) == (200, 1, 1), lines.text
    assert [(each["line"], each["field"]) for each in lines.json()["errors"]] == [(2, "/files/file")]
    dry = api.post("/api/v1/jobs", params={"dry_run": 1}, json=bad)
    assert (dry.status_code, dry.json()["field"]) == (400, "/files/file")


def test_a_repeated_form_with_the_same_idempotency_key_is_one_job(api):
    key = {"Idempotency-Key": uuid4().hex}
    first = submit(api, {"file": ("a.png", PNG)}, headers=key)
    before = {file.key for file in api.client.files.store.list("uploads/")}
    again = submit(api, {"file": ("a.png", PNG)}, headers=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json()["job_id"] == again.json()["job_id"]
    assert {file.key for file in api.client.files.store.list("uploads/")} == before
    other = submit(api, {"file": ("a.png", png(9))}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ({"file": ("a.png", PNG)}, "/job", "is missing: send the job as JSON in a part of this name"),
        ({"job": (None, "{"), "file": ("a.png", PNG)}, None, ""),
        ({"job": (None, '{"type": "nothing", "payload": {}}'), "file": ("a.png", PNG)}, "/type", "nothing"),
        (
            {"job": (None, '{"type": "copies", "payload": {}}'), "file": ("a.png", PNG, "image/gif")},
            "/file",
            "image/png",
        ),
        ({"job": (None, '{"type": "copies", "payload": {}}'), "file": ("a.png", b"")}, "/file", "is empty"),
        (
            {"job": (None, '{"type": "copies", "payload": {}, "files": {"file": "x"}}'), "file": ("a.png", PNG)},
            "/files/file",
            "",
        ),
        (
            {
                "job": (None, '{"type": "copies", "payload": {}, "recurring": {"cron_expression": "@daily"}}'),
                "file": ("a", PNG),
            },
            None,
            "",
        ),
    ],
)
def test_a_form_that_is_no_submission_is_rejected_with_the_remedy_and_stores_nothing(api, parts, field, words):
    before = {file.key for file in api.client.files.store.list("uploads/")}
    answer = api.post("/api/v1/jobs", files=parts)
    assert 400 <= answer.status_code < 500, answer.text
    assert field is None or answer.json()["field"] == field
    assert words in answer.json()["details"]
    assert {file.key for file in api.client.files.store.list("uploads/")} == before


def test_a_form_with_files_is_no_schedule(api):
    admin = {"X-API-Key": api.client.keys.create("admin", "admin").secret}
    recurring = {"recurring": {"name": "with-files", "cron_expression": "@daily"}}
    for dry_run in (0, 1):
        parts = {"job": (None, json.dumps({"type": "copies", "payload": {}, **recurring})), "file": ("a.png", PNG)}
        answer = api.post("/api/v1/jobs", params={"dry_run": dry_run}, files=parts, headers=admin)
        assert (answer.status_code, answer.json()["field"]) == (400, "/file"), answer.text
        assert answer.json()["details"] == "can't be given together with recurring"
    assert "with-files" not in [each.name for each in api.client.schedules.all()]
    del parts["file"]
    assert api.post("/api/v1/jobs", files=parts, headers=admin).status_code == 201


# Clients


@pytest.fixture(params=["server", "http"])
def gopher(request, api):
    if request.param == "server":
        yield api.client
        return
    with HttpClient(str(api.base_url), SHOP["X-API-Key"]) as client:
        yield client


def test_clients_send_files_along_and_download_them(gopher, tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    uploaded = gopher.files.upload(b"some text", name="text.txt")
    assert (uploaded.size, uploaded.content_type) == (9, "text/plain")
    files = {"file": path, "text": uploaded, "bytes": b"more", "id": uploaded.file_id}
    job_id = gopher.enqueue("copies", {"bytes": "bytes.txt", "id": "id.txt"}, files=files)
    assert gopher.wait(job_id, 60).status == "completed"
    assert [each.name for each in gopher.files.all(job_id)] == ["bytes.txt", "cat.png", "id.txt", "text.txt"]
    assert gopher.files.read(job_id, "cat.png") == PNG
    saved = gopher.files.save(job_id, "cat.png", tmp_path)
    assert saved == path
    assert saved.read_bytes() == PNG
    assert [each.name for each in tmp_path.iterdir()] == ["cat.png"]


class Received:
    """What can be read only once, from its beginning to its end, as the body of a response."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


@pytest.mark.parametrize("kind", ["pipe", "path of a pipe", "received", "unnamed", "spooled", "second half"])
def test_a_client_sends_whatever_can_be_read(gopher, kind, tmp_path):
    content = PNG + os.urandom(3_000_000)
    with ExitStack() as stack:
        if "pipe" in kind:
            (tmp_path / "content").write_bytes(content)
            file = stack.enter_context(Popen(["cat", tmp_path / "content"], stdout=PIPE)).stdout
            if kind == "path of a pipe":
                # As of a shell's <(...).
                file = f"/dev/fd/{file.fileno()}"
        elif kind == "received":
            file = Received(content)
        elif kind == "second half":
            file = io.BytesIO(b"before" + content)
            file.seek(len(b"before"))
        else:
            kinds = {"unnamed": TemporaryFile, "spooled": SpooledTemporaryFile}
            file = stack.enter_context(kinds[kind]())
            file.write(content)
            file.seek(0)
        sent = gopher.files.upload(file)
        assert (sent.name, sent.size, sent.content_type) == ("file", len(content), "image/png")
        job_id = gopher.enqueue("copies", {}, files={"file": sent})
        assert gopher.files.read_upload(job_id, "file") == content


def test_a_client_names_an_upload_as_its_file(gopher, tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    with open(path, "rb") as file:
        named = [gopher.files.upload(each).name for each in (path, str(path), file)]
    assert named == ["cat.png"] * 3


@pytest.mark.parametrize("content", [io.StringIO("text"), None, 7, iter([b"x"])])
def test_what_is_no_file_is_refused_by_a_client(gopher, content):
    with pytest.raises(InvalidJob, match="opened for reading bytes") as refused:
        gopher.files.upload(content)
    assert refused.value.field == "/file"
