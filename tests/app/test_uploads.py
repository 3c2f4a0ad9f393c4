"""Uploads: what is accepted, how it is described and bounded, and that nothing of what is rejected stays."""

import json
import os
import socket
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from gopher.client import Client
from gopher.files.folder import MARK, FolderStore
from gopher.files.names import upload_key
from tests.app.conftest import EMAIL, Api, answers, running_api
from tests.helpers import wait_until

KEYS = "shop:a-secret-to-submit-with:submit,other:another-secret-to-submit:submit,reader:a-secret-to-read-with-1:read"
SHOP, OTHER = ({"X-API-Key": secret} for secret in ("a-secret-to-submit-with", "another-secret-to-submit"))
MAX = 3_000_000


def png(side: int = 8) -> bytes:
    """Return a small picture, written without any library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([200, 30, 30] * side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PNG = png()


@pytest.fixture(scope="module", params=["redis:", pytest.param("file:", marks=pytest.mark.deep)])
def api(request, tmp_path_factory, redis_url):
    folder = tmp_path_factory.mktemp("uploads")
    variables = {
        "GOPHER_NAMESPACE": f"uploads-{uuid4().hex[:8]}",
        "GOPHER_STORE": request.param,
        "GOPHER_FILES": str(folder / "files"),
        "GOPHER_API_KEYS": KEYS,
        "GOPHER_FILE_MAX": str(MAX),
        "WEB_CONCURRENCY": "1",
        "TMPDIR": str(folder),
    }
    with running_api(folder, redis_url, **variables) as api:
        api.variables, api.folder = variables, folder
        api.headers.update(SHOP)
        yield api


@pytest.fixture(scope="module")
def client(api, redis_url):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GOPHER_STORE", "GOPHER_FILES"):
            patch.setenv(name, api.variables[name])
        with Client(redis_url, namespace=api.variables["GOPHER_NAMESPACE"]) as client:
            yield client


def stored(client: Client) -> set[str]:
    return {file.key for file in client.files.store.list("uploads/")}


def leftovers(api: Api) -> list[Path]:
    """Return what is on the disk besides complete files and the log."""
    return [path for path in api.folder.rglob("*") if path.is_file() and ".tmp" in path.name]


def head(length: int, *more: str) -> bytes:
    """Return the head of an upload by the shop."""
    lines = ["POST /api/v1/files HTTP/1.1", "Host: x", f"X-API-Key: {SHOP['X-API-Key']}", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def upload(api, content=PNG, path="/api/v1/files", **more):
    return api.post(path, content=content, **more)


@pytest.mark.parametrize(
    ("headers", "path", "name", "kind"),
    [
        ({}, "/api/v1/files", "file", "image/png"),
        ({"Content-Type": "image/png"}, "/api/v1/files?name=cat.png", "cat.png", "image/png"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "/api/v1/files?name=cat", "cat", "image/png"),
        ({"Content-Type": "application/octet-stream"}, "/api/v1/files?name=cat.jpg", "cat.jpg", "image/png"),
        ({"Content-Disposition": 'attachment; filename="a/b c.png"'}, "/api/v1/files", "b c.png", "image/png"),
        ({"Content-Disposition": "attachment; filename*=UTF-8''%E7%8C%AB.png"}, "/api/v1/files", "猫.png", "image/png"),
        # As file names are on a Mac.
        ({}, "/api/v1/files?name=Cafe%CC%81.png", "Caf\u00e9.png", "image/png"),
    ],
)
def test_a_body_is_a_file_with_the_type_that_it_has(api, client, headers, path, name, kind):
    answer = upload(api, path=path, headers=headers)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made == {"file_id": made["file_id"], "name": name, "size": len(PNG), "content_type": kind}
    with client.files.store.read(upload_key("shop", made["file_id"])) as reading:
        assert b"".join(reading) == PNG


@pytest.mark.parametrize(
    ("content", "name", "said", "kind"),
    [
        (b"plain", "a.txt", "", "text/plain"),
        (b"plain", "a.txt", "text/x-mine; charset=utf-8", "text/x-mine"),
        (b"{}", "a.json", "application/json", "application/json"),
        (b"plain", "a.png", "", "application/octet-stream"),
        (b"GIF89a....", "a", "", "image/gif"),
        (b"\xff\xd8\xff\xe0", "a", "image/jpg", "image/jpeg"),
        (b"RIFF\1\1\1\1WEBPVP8 ", "a", "", "image/webp"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "a", "", "image/avif"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0avifmif1", "a", "", "image/avif"),
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "a", "image/heif", "image/heic"),
        (b"II*\0\x08\0\0\0", "a", "image/tiff", "image/tiff"),
        (b"II+\0\x08\0\0\0", "a", "image/tiff", "image/tiff"),
        (b"MM\0+\0\x08\0\0", "a", "", "image/tiff"),
        (b"%PDF-1.7", "a", "", "application/pdf"),
        (b"BM is no picture", "a.txt", "", "text/plain"),
    ],
)
def test_the_content_type_is_what_the_content_shows(api, content, name, said, kind):
    headers = {"Content-Type": said} if said else {}
    answer = upload(api, content, f"/api/v1/files?name={name}", headers=headers)
    assert (answer.status_code, answer.json()["content_type"]) == (201, kind)


def test_a_form_with_one_part_is_a_file(api):
    answer = api.post("/api/v1/files", files={"file": ("cat ü.png", PNG, "image/png")})
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "cat ü.png"


@pytest.mark.parametrize("size", [0, 1_000_000, 1_048_576, 1_100_000, MAX])
@pytest.mark.parametrize("chunked", [False, True])
def test_files_of_any_size_up_to_the_maximum_arrive_whole(api, client, size, chunked):
    content = os.urandom(size)

    def pieces():
        for at in range(0, size, 50_000):
            yield content[at : at + 50_000]

    answer = upload(api, pieces() if chunked else content)
    if not size:
        assert (answer.status_code, answer.json()["field"]) == (400, "/file")
        return
    assert answer.status_code == 201, answer.text
    with client.files.store.read(upload_key("shop", answer.json()["file_id"])) as reading:
        assert b"".join(reading) == content


BOUNDARY = "multipart/form-data; boundary=x"


def part(name: str, content: str = "text", more: str = "") -> str:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{content}\r\n'


FILE = '; filename="a.txt"'


@pytest.mark.parametrize(
    ("content", "kind", "status", "field", "words"),
    [
        (b"x" * (MAX + 1), "", 413, "/file", "GOPHER_FILE_MAX"),
        (b"x" * (MAX + 3_000_000), "", 413, None, "GOPHER_FILE_MAX"),
        (b"x", "image/png", 400, "/file", "sent as image/png, but its content is something else"),
        (PNG, "image/jpeg", 400, "/file", "but its content is image/png"),
        (PNG, "nonsense", 400, "/file", "expected one such as image/jpeg"),
        (part("a", more=FILE) + part("b", more=FILE) + "--x--\r\n", BOUNDARY, 400, "/file", "2 files: send one"),
        (part("a", more=FILE) + part("a", more=FILE) + "--x--\r\n", BOUNDARY, 400, "/a", "two parts of this name"),
        (part("job") + part("a", more=FILE) + "--x--\r\n", BOUNDARY, 400, "/job", "send the form to /api/v1/jobs"),
        (part("a") + "--x--\r\n", BOUNDARY, 400, "/a", "is text, not a file"),
        (part("a b", more=FILE) + "--x--\r\n", BOUNDARY, 400, "/files", "'a b'"),
        ("--x--\r\n", BOUNDARY, 400, "/file", "0 files: send one"),
        ("", BOUNDARY, 400, None, "ends before its last boundary"),
        (part("a", more=FILE), BOUNDARY, 400, None, "ends before its last boundary"),
        ("--x\r\nA: b\r\n\r\ntext\r\n--x--\r\n", BOUNDARY, 400, None, "the form can't be read"),
        ("--x\r\nContent-Disposition: form-data\r\n\r\ntext\r\n--x--\r\n", BOUNDARY, 400, None, "has no name"),
        ("text", "multipart/form-data", 400, None, "no valid boundary"),
    ],
)
def test_what_is_no_upload_is_rejected_with_the_remedy_and_leaves_nothing(
    api, client, content, kind, status, field, words
):
    before = stored(client)
    answer = upload(api, content, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text
    assert words in answer.json()["details"]
    assert stored(client) == before
    assert not leftovers(api)


def test_what_is_too_long_is_rejected_before_it_is_sent(api):
    with socket.create_connection(("127.0.0.1", api.base_url.port)) as connection:
        connection.sendall(head(99_999_999_999, "Expect: 100-continue"))
        assert b"HTTP/1.1 413" in connection.recv(1000)


def test_a_client_without_a_key_sends_nothing(api):
    with socket.create_connection(("127.0.0.1", api.base_url.port)) as connection:
        connection.sendall(b"POST /api/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
        assert b"HTTP/1.1 401" in connection.recv(1000)


def test_of_a_client_that_hangs_up_half_way_nothing_stays(api, client):
    before = stored(client)
    with socket.create_connection(("127.0.0.1", api.base_url.port)) as connection:
        connection.sendall(head(2_000_000) + b"x" * 1_500_000)
    assert api.get("/health/live").status_code == 200
    # The API may still be reading what had arrived.
    wait_until(lambda: not leftovers(api), what="nothing to be left")
    assert stored(client) == before


def test_uploads_of_one_owner_do_not_exist_for_another(api):
    file_id = upload(api).json()["file_id"]
    missing = str(uuid4())
    answers = []
    for each in (file_id, missing):
        job = {"type": "email", "payload": EMAIL, "files": {"file": each}}
        answers.append(api.post("/api/v1/jobs", json=job, headers=OTHER).json())
        answers[-1].pop("request_id")
    assert answers[0] == answers[1]
    assert answers[0]["field"] == "/files/file"


@pytest.fixture
def bounded(tmp_path, redis_url):
    variables = {
        "GOPHER_NAMESPACE": f"bounded-{uuid4().hex[:8]}",
        "GOPHER_STORE": "redis:",
        "GOPHER_API_KEYS": KEYS,
        "GOPHER_UPLOADS_MAX": "3",
        "GOPHER_UPLOADS_MAX_BYTES": "1000",
        "GOPHER_FILE_TYPES": "image/*,text/plain",
        "WEB_CONCURRENCY": "1",
    }
    with running_api(tmp_path, redis_url, **variables) as api:
        api.headers.update(SHOP)
        yield api


def test_uploads_that_no_job_uses_are_bounded_for_each_owner(bounded):
    for _ in range(3):
        file_id = upload(bounded).json()["file_id"]
    beyond = upload(bounded)
    assert (beyond.status_code, beyond.json()["code"]) == (429, "upload_limit")
    assert "GOPHER_UPLOADS_MAX" in beyond.json()["details"]
    assert beyond.headers["Retry-After"]
    assert upload(bounded, headers=OTHER).status_code == 201
    form = {"job": (None, json.dumps({"type": "email", "payload": EMAIL})), "file": ("a.png", PNG)}
    assert bounded.post("/api/v1/jobs", files=form).status_code == 429
    # One that a job uses makes room, even if the job is submitted twice; but not with a job that is rejected.
    job = {"type": "email", "payload": EMAIL, "files": {"file": file_id}}
    assert bounded.post("/api/v1/jobs", json={**job, "after": [str(uuid4())]}).status_code == 400
    assert upload(bounded).status_code == 429
    assert [bounded.post("/api/v1/jobs", json=job).status_code for _ in range(2)] == [201, 201]
    assert bounded.post("/api/v1/jobs", files=form).status_code == 201
    assert bounded.post("/api/v1/jobs", files=form).status_code == 201
    assert [upload(bounded).status_code for _ in range(2)] == [201, 429]
    long, place = b"a" * 800, "/api/v1/files?name=a.txt"
    assert [upload(bounded, long, place, headers=OTHER).status_code for _ in range(2)] == [201, 429]


def test_only_types_that_are_allowed_are_accepted(bounded):
    assert upload(bounded, b"plain", "/api/v1/files?name=a.txt").status_code == 201
    for headers in ({}, {"Content-Type": "application/pdf"}):
        answer = upload(bounded, b"%PDF-1.7", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "is application/pdf: accepted are image/*, text/plain" in answer.json()["details"]


# Dying in between


@pytest.mark.deep
@pytest.mark.parametrize("point", ["file.half", "file.written"])
def test_of_an_upload_whose_process_dies_while_it_is_stored_nothing_is_visible(tmp_path, redis_url, point):
    variables = {
        "GOPHER_NAMESPACE": f"dies-{uuid4().hex[:8]}",
        "GOPHER_FILES": str(tmp_path / "files"),
        "WEB_CONCURRENCY": "1",
        "TMPDIR": str(tmp_path),
    }
    with running_api(tmp_path, redis_url, GOPHER_CRASH_AT=point, **variables) as api:
        with pytest.raises(httpx.TransportError):
            upload(api, PNG + bytes(1_500_000))
        wait_until(lambda: answers(api))
    store = FolderStore(tmp_path / "files")
    assert not list(store.list("uploads/"))
    # What the dead process has left has no name that anything reads, and is removed with the next sweep.
    store.remove_abandoned(age=-1)
    left = {each.name for each in (tmp_path / "files").rglob("*") if each.is_file()}
    assert left <= {MARK}


def spooled(pid: int, folder: Path) -> list[str]:
    """Return the files without a name that a process has open in a folder."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(os.readlink(link))
    return [link for link in links if link.startswith(str(folder)) and link.endswith(" (deleted)")]


@pytest.mark.deep
def test_of_a_body_whose_process_is_killed_nothing_stays_on_the_disk(tmp_path, redis_url):
    folder = tmp_path / "spool"
    folder.mkdir()
    variables = {
        "GOPHER_NAMESPACE": f"killed-{uuid4().hex[:8]}",
        "GOPHER_API_KEYS": KEYS,
        "WEB_CONCURRENCY": "1",
        "TMPDIR": str(folder),
    }
    with running_api(tmp_path, redis_url, **variables) as api:
        (process,) = psutil.Process(api.process.pid).children()
        with socket.create_connection(("127.0.0.1", api.base_url.port)) as connection:
            connection.sendall(head(2_000_000) + b"x" * 1_500_000)
            wait_until(lambda: spooled(process.pid, folder))
            process.kill()
            process.wait(60)
        # By now the next process may count in files of its own.
        left = [each for each in folder.rglob("*") if each.is_file()]
        assert not [each for each in left if not each.parent.name.startswith("gopher-metrics-")]
        wait_until(lambda: answers(api))
