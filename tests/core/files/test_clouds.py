"""The stores gs: and az:, against emulators."""

import io
import os
import urllib.request

import pytest

from gopher.files.bucket import BucketStore
from gopher.files.names import job_folder, job_key, new_file_id, upload_key
from gopher.files.store import FileMissing, FileTooLarge, StoreRefused
from gopher.jobs.job import new_job_id
from tests import clouds

pytestmark = pytest.mark.deep
#: Several pieces, and a rest.
CONTENT = os.urandom(3_000_001)
#: All kinds of characters that a name may have.
NAMES = ["cat.jpg", "猫 é (1)+=,@_-.b.jpg"]


#: Azurite is a program of npm: who has it tries it.
EMULATORS = {"az": clouds.Azure} if clouds.azurite() else {}
EMULATORS |= {"gs": clouds.Google} if clouds.fake_gcs_server() else {}


@pytest.fixture(scope="module", params=EMULATORS.values(), ids=EMULATORS)
def cloud(request, tmp_path_factory):
    running = request.param(tmp_path_factory.mktemp("cloud"))
    yield running
    running.stop()


@pytest.fixture
def store(cloud, monkeypatch):
    for name, value in cloud.environ.items():
        monkeypatch.setenv(name, value)
    opened = BucketStore(cloud.url)
    yield opened
    opened.close()


def content_of(store, key, *part):
    with store.read(key, *part) as reading:
        return b"".join(reading)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_written_read_listed_handed_out_and_deleted(store, name):
    job_id = new_job_id()
    key = job_key(job_id, name)
    store.write(key, io.BytesIO(b"first"), limit=10)
    store.write(key, io.BytesIO(CONTENT), limit=4_000_000)
    found = store.stat(key)
    assert (found.key, found.size, found.content_type, found.name) == (key, len(CONTENT), "image/jpeg", name)
    assert content_of(store, key) == CONTENT
    assert content_of(store, key, 1_048_575, 2_097_153) == CONTENT[1_048_575:2_097_153]
    assert list(store.list(job_folder(job_id))) == [found]
    with urllib.request.urlopen(store.presigned(key)) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (CONTENT, "image/jpeg")
    assert store.delete(key)
    assert not store.delete(key)
    assert store.stat(key) is None
    with pytest.raises(FileMissing):
        store.read(key)


def test_an_upload_keeps_its_name_and_type(store):
    key = upload_key("shop", new_file_id())
    store.write(key, io.BytesIO(b"x"), limit=10, content_type="application/x-own", name="Ünïcode (1).own")
    assert (store.stat(key).name, store.stat(key).content_type) == ("Ünïcode (1).own", "application/x-own")
    with pytest.raises(FileTooLarge):
        store.write(key, [b"12345", b"678901"], limit=10)
    assert content_of(store, key) == b"x"


def test_wrong_credentials_and_a_bucket_that_does_not_exist_are_refused_in_one_line(store, cloud, monkeypatch):
    key = job_key(new_job_id(), "cat.jpg")
    nowhere = BucketStore(cloud.url.replace(clouds.BUCKET, "nothing"))
    with pytest.raises(StoreRefused, match="404.*") as missing:
        nowhere.write(key, [b"x"], limit=10)
    assert "\n" not in str(missing.value)
    nowhere.close()
    if cloud.wrong is None:
        return
    for name, value in cloud.wrong.items():
        monkeypatch.setenv(name, value)
    stranger = BucketStore(cloud.url)
    calls = (
        lambda: stranger.write(key, [b"x"], limit=10),
        lambda: content_of(stranger, key),
        lambda: stranger.delete(key),
    )
    for call in calls:
        with pytest.raises(StoreRefused, match="403") as refused:
            call()
        assert "\n" not in str(refused.value)
    stranger.close()
