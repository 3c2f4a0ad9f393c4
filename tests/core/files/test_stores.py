"""What every store for files promises, tried with each."""

import io
import os
import re
import subprocess
import sys
import threading
import urllib.request
from uuid import uuid4

import pytest

from gopher.config.settings import Settings
from gopher.files.names import job_folder, job_key, new_file_id, upload_key
from gopher.files.opening import identity, open_store
from gopher.files.store import FileMissing, FileTooLarge
from gopher.jobs.job import new_job_id
from tests.helpers import wait_until

KINDS = ["file", "redis", pytest.param("s3", marks=pytest.mark.deep)]
pytestmark = pytest.mark.parametrize("environ", KINDS, indirect=True)
#: Several pieces of each store, and a rest.
CONTENT = os.urandom(3_000_001)


@pytest.fixture
def key(environ):
    return job_key(new_job_id(), "cat.jpg")


def content_of(store, key, *part):
    with store.read(key, *part) as reading:
        return b"".join(reading)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["empty", "a byte", "pieces"])
@pytest.mark.parametrize("form", [io.BytesIO, lambda content: [content[:7], content[7:]]], ids=["file", "chunks"])
def test_what_was_written_is_read_byte_for_byte(store, key, content, form):
    written = store.write(key, form(content), limit=4_000_000)
    assert content_of(store, key) == content
    found = store.stat(key)
    assert (found.size, found.content_type, found.name, found.etag) == (
        len(content),
        "image/jpeg",
        "cat.jpg",
        written.etag,
    )


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (262_143, 262_145), (1_048_575, 2_097_153), (2_999_999, None), (5, 9**9), (9**9, None)]
)
def test_a_part_is_read(store, key, start, stop):
    store.write(key, [CONTENT], limit=4_000_000)
    assert content_of(store, key, start, stop) == CONTENT[start:stop]


def test_an_upload_keeps_its_name_and_type(store):
    key = upload_key("shop", new_file_id())
    store.write(key, io.BytesIO(b"x"), limit=10, content_type="application/x-own", name="Ünïcode (1).own")
    found = store.stat(key)
    assert (found.content_type, found.name) == ("application/x-own", "Ünïcode (1).own")
    with store.read(key) as reading:
        assert reading.file == found


def test_a_file_replaces_one_of_the_same_key(store, key):
    first = store.write(key, [CONTENT], limit=4_000_000)
    second = store.write(key, [b"new"], limit=4_000_000)
    assert content_of(store, key) == b"new"
    assert first.etag != second.etag
    assert [each.size for each in store.list(job_folder(key.split("/")[1]))] == [3]


def test_a_missing_file_is_said_to_be_missing(store, key):
    assert store.stat(key) is None
    assert list(store.list(job_folder(key.split("/")[1]))) == []
    with pytest.raises(FileMissing):
        content_of(store, key)
    store.delete(key)


def test_a_deleted_file_is_gone(store, key):
    store.write(key, [b"x"], limit=10)
    assert store.delete(key)
    assert store.stat(key) is None
    assert list(store.list("jobs/")) == []


def test_files_are_listed_by_job_and_all_together(store):
    one, other = new_job_id(), new_job_id()
    for job, name in ((one, "b.png"), (one, "a (2).webp"), (other, "c.json")):
        store.write(job_key(job, name), [b"xy"], limit=10)
    assert [(each.name, each.size, each.content_type) for each in store.list(job_folder(one))] == [
        ("a (2).webp", 2, "image/webp"),
        ("b.png", 2, "image/png"),
    ]
    assert {each.key for each in store.list("jobs/")} == {
        job_key(one, "a (2).webp"),
        job_key(one, "b.png"),
        job_key(other, "c.json"),
    }


@pytest.mark.parametrize(
    "form", [io.BytesIO, lambda content: iter([content[:60], content[60:]])], ids=["file", "chunks"]
)
def test_a_file_that_is_too_large_leaves_nothing(store, key, form):
    store.write(key, [b"before"], limit=100)
    with pytest.raises(FileTooLarge, match="more than the 100 bytes"):
        store.write(key, form(b"x" * 101), limit=100)
    assert content_of(store, key) == b"before"
    assert store.remove_abandoned(age=-60) == 0


def test_a_writer_whose_source_fails_leaves_nothing(store, key):
    def source():
        yield CONTENT
        raise OSError("the client has left")

    with pytest.raises(Exception, match="the client has left"):
        store.write(key, source(), limit=4_000_000)
    assert store.stat(key) is None
    assert store.remove_abandoned(age=-60) == 0


def test_every_process_sees_the_same_store(environ, store, key):
    store.write(key, [b"x"], limit=10)
    program = (
        "import sys\nfrom gopher.config.settings import Settings\n"
        "from gopher.files.opening import identity, open_store\n"
        "store = open_store(Settings.from_env())\n"
        "print(repr(identity(Settings.from_env())), b''.join(store.read(sys.argv[1])), sep='|')"
    )
    told = subprocess.run([sys.executable, "-c", program, key], capture_output=True, text=True, check=True)
    assert identity(Settings.from_env())
    assert told.stdout.strip().split("|") == [repr(identity(Settings.from_env())), "b'x'"]


CRASHING = """
import sys
from gopher.config.settings import Settings
from gopher.files.opening import open_store
open_store(Settings.from_env()).write(sys.argv[1], [b"n" * 700_000, b"n" * 700_000], limit=10**7, name="new.bin")
"""


@pytest.mark.parametrize("point", ["file.half", "file.half:2", "file.written"])
def test_a_killed_writer_leaves_what_was_there_and_nothing_for_ever(environ, store, key, point):
    store.write(key, [b"before"], limit=100)
    command = [sys.executable, "-c", CRASHING, key]
    assert subprocess.call(command, env={**os.environ, "GOPHER_CRASH_AT": point}) == -9
    assert content_of(store, key) == b"before"
    assert [each.key for each in store.list("jobs/")] == [key]
    store.remove_abandoned()
    assert content_of(store, key) == b"before"
    store.remove_abandoned(age=-60)
    assert content_of(store, key) == b"before"
    store.delete(key)
    assert left_in(environ, store) == []


@pytest.mark.parametrize("point", ["file.half", "file.written"])
def test_a_sweep_that_is_killed_while_it_marks_the_store_leaves_nothing_for_ever(environ, store, point):
    mark = f"installations/{uuid4()}"
    command = [sys.executable, "-c", CRASHING, mark]
    assert subprocess.call(command, env={**os.environ, "GOPHER_CRASH_AT": point}) == -9
    store.remove_abandoned()
    store.remove_abandoned(age=-60)
    assert list(store.list("installations/")) == []
    assert left_in(environ, store) == []


def left_in(environ, store):
    """Return all that a store holds, apart from its identity."""
    if environ["GOPHER_STORE"] == "file:":
        found = [os.path.join(folder, name) for folder, _, names in os.walk(environ["GOPHER_FILES"]) for name in names]
        return [path for path in found if not path.endswith(".gopher-store")]
    if environ["GOPHER_STORE"] == "redis:":
        client, prefix = store._client, store._keys.prefix
        left = {name.decode(): value for name, value in client.hgetall(store._keys.file_bytes).items()}
        assert left.pop("total", b"0") == b"0"
        return [*left, *client.scan_iter(f"{prefix}file:*", count=10_000)]
    return [each.key for each in store.list("jobs/")]


def test_readers_see_a_whole_file_while_it_is_replaced(store, key):
    """One of the two, never a mixture; a reader that is too slow is told."""
    contents = [bytes([letter]) * 1_500_000 for letter in b"ab"]
    store.write(key, [contents[0]], limit=4_000_000)
    stop, seen = threading.Event(), set()

    def replace():
        try:
            for number in range(1, 201):
                store.write(key, [contents[number % 2]], limit=4_000_000)
                # A reader may have had no processor.
                if number >= 20 and seen:
                    break
        finally:
            stop.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not stop.is_set():
        try:
            found = content_of(store, key)
        except FileMissing:
            continue
        assert found in contents
        seen.add(found[:1])
    writer.join()
    assert seen


def test_a_presigned_url_downloads_the_file_as_what_it_is(store, key):
    store.write(key, [CONTENT], limit=4_000_000)
    url = store.presigned(key)
    if url is None:
        assert not store.url.startswith("s3:")
        return
    with urllib.request.urlopen(url) as response:
        assert response.read() == CONTENT
        assert response.headers["Content-Type"] == "image/jpeg"
        assert re.match('attachment; filename="cat.jpg"', response.headers["Content-Disposition"])


def test_many_writers_at_once_do_not_disturb_each_other(environ, store):
    job = new_job_id()
    keys = [job_key(job, f"{number}.bin") for number in range(12)]
    threads = [
        threading.Thread(target=store.write, args=(key, [bytes([number]) * 300_000]), kwargs={"limit": 10**6})
        for number, key in enumerate(keys)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [content_of(store, key) for key in keys] == [bytes([number]) * 300_000 for number in range(12)]
    assert wait_until(lambda: len(list(store.list(job_folder(job)))) == 12)


def test_a_store_is_opened_anew_by_each_process(environ):
    """Two of one process see the same, as do two processes."""
    with_one, with_other = (open_store(Settings.from_env()) for _ in range(2))
    try:
        key = job_key(new_job_id(), "a.txt")
        with_one.write(key, [b"x"], limit=1)
        assert content_of(with_other, key) == b"x"
    finally:
        with_one.close()
        with_other.close()
