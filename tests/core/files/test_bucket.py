"""A bucket that is slow, fails, cuts connections, or refuses: against a real S3 server that checks signatures."""

import io
import os
import subprocess
import sys

import pytest

from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from gopher.files.bucket import BucketStore
from gopher.files.names import job_key
from gopher.files.opening import check_store, open_store
from gopher.files.store import StoreRefused, StoreUnavailable
from gopher.jobs.job import new_job_id
from tests.s3 import FAILS, FaultyProxy

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def proxy(s3):
    proxy = FaultyProxy(s3.port)
    yield proxy
    proxy.close()


@pytest.fixture
def store(s3, proxy, monkeypatch, namespace):
    for name, value in s3.environ(proxy.endpoint, namespace).items():
        monkeypatch.setenv(name, value)
    opened = open_store(Settings.from_env())
    yield opened
    opened.close()


@pytest.fixture
def key():
    return job_key(new_job_id(), "cat.jpg")


def content_of(store, key):
    with store.read(key) as reading:
        return b"".join(reading)


@pytest.mark.deep
@pytest.mark.parametrize(
    "plan", [("answer", FAILS), ("cut", 100_000), ("cut", 10), ("lose",), ("slow", 1.0)], ids=lambda plan: plan[0]
)
def test_a_write_survives_a_failure(store, proxy, key, plan):
    proxy.plans.extend([plan, plan])
    store.write(key, io.BytesIO(CONTENT), limit=10**7)
    assert content_of(store, key) == CONTENT


@pytest.mark.deep
@pytest.mark.parametrize(
    "plan", [("answer", FAILS), ("half",), ("lose",), ("slow", 1.0)], ids=["fails", "half", "lose", "slow"]
)
def test_a_read_survives_a_failure_at_each_request(store, proxy, key, plan):
    store.write(key, io.BytesIO(CONTENT), limit=10**7)
    proxy.exchanges = 0
    content_of(store, key)
    for number in range(proxy.exchanges):
        proxy.plans.extend([*[("pass",)] * number, plan])
        assert content_of(store, key) == CONTENT
        proxy.plans.clear()


@pytest.mark.deep
def test_a_store_that_fails_all_the_time_is_unavailable_and_shows_nothing(store, proxy, s3, key, monkeypatch):
    monkeypatch.setattr("gopher.files.bucket._ATTEMPTS", 2)
    proxy.plans.extend([("answer", FAILS)] * 50)
    with pytest.raises(StoreUnavailable, match="503"):
        store.write(key, io.BytesIO(CONTENT), limit=10**7)
    proxy.plans.clear()
    proxy.plans.extend([("cut", 500_000)] * 50)
    with pytest.raises(StoreUnavailable):
        store.write(key, io.BytesIO(CONTENT), limit=10**7)
    proxy.plans.clear()
    assert store.stat(key) is None
    assert list(store.list("jobs/")) == []


@pytest.mark.deep
@pytest.mark.parametrize("which", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_keys_are_refused_with_the_reason_of_the_store(store, s3, key, which, monkeypatch):
    store.write(key, io.BytesIO(b"x"), limit=10)
    monkeypatch.setenv(which, "wrong")
    with_wrong = open_store(Settings.from_env())
    try:
        for call in (
            lambda: with_wrong.write(key, io.BytesIO(b"y"), limit=10),
            lambda: content_of(with_wrong, key),
            lambda: with_wrong.stat(key),
            lambda: with_wrong.delete(key),
            lambda: list(with_wrong.list("jobs/")),
        ):
            with pytest.raises(StoreRefused, match="SignatureDoesNotMatch|InvalidAccessKeyId|403") as caught:
                call()
            # Neither the keys nor an address for clients.
            assert "wrong" not in caught.value.public
            assert s3.endpoint not in caught.value.public
    finally:
        with_wrong.close()
    assert content_of(store, key) == b"x"


@pytest.mark.deep
def test_a_bucket_that_does_not_exist_is_not_a_missing_file(store, s3, key):
    other = BucketStore(f"s3://no-such-bucket?endpoint={s3.endpoint}&region=us-east-1")
    try:
        with pytest.raises(StoreRefused, match="bucket of GOPHER_STORE does not exist"):
            other.read(key)
    finally:
        other.close()


@pytest.mark.deep
def test_no_presigned_url_is_given_if_clients_can_not_reach_the_store(store, s3):
    hidden = BucketStore(f"s3://bucket?endpoint={s3.endpoint}&region=us-east-1&presign=0")
    assert hidden.presigned(job_key(new_job_id(), "a.jpg")) is None
    hidden.close()


UPLOADING = r"""
import io, re, sys, threading
from gopher.config.settings import Settings
from gopher.files.names import job_key
from gopher.files.opening import check_store, open_store
from gopher.jobs.job import new_job_id
store = open_store(Settings.from_env())
store.write(job_key(new_job_id(), "first.bin"), io.BytesIO(b"x"), limit=10)
path = sys.argv[1]
def most():
    # In KiB. That of getrusage is also that of the process which has started this one.
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
before = most()
def upload():
    for _ in range(2):
        with open(path, "rb") as file:
            key = job_key(new_job_id(), "a.bin")
            store.write(key, file, limit=10**8)
        assert sum(map(len, store.read(key))) == 10_000_000
threads = [threading.Thread(target=upload) for _ in range(20)]
[each.start() for each in threads]
[each.join() for each in threads]
print(most() - before)
"""


@pytest.mark.deep
def test_many_large_files_at_once_take_little_memory(s3, namespace, tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(10_000_000))
    environ = {**os.environ, **s3.environ(prefix=namespace)}
    told = subprocess.run(
        [sys.executable, "-c", UPLOADING, path], check=True, env=environ, capture_output=True, text=True
    )
    kibibytes = int(told.stdout)
    assert kibibytes < 80_000, f"{kibibytes} KiB more"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://bucket?access_key_id=AKID", "GOPHER_STORE has access_key_id: set credentials as environment variables"),
        ("s3://bucket?secret_access_key=x", "GOPHER_STORE has secret_access_key"),
        ("s3://bucket?regoin=x", "GOPHER_STORE='s3://bucket': .*regoin"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(url, reason):
    with pytest.raises(ConfigurationError, match=reason):
        BucketStore(url)


@pytest.mark.parametrize(
    "url", ["s3://", "s3://user:secret@bucket", "ftp://bucket", "s3://bucket/a//b", "file:/tmp", "s3:x"]
)
def test_what_is_no_store_is_an_invalid_setting(url):
    with pytest.raises(ConfigurationError, match="GOPHER_STORE.*expected file:, redis:, or a bucket"):
        Settings.from_env({"GOPHER_STORE": url})


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gopherctl\[s3\]'"):
        open_store(Settings.from_env({"GOPHER_STORE": "s3://bucket"}))


@pytest.mark.parametrize(
    ("url", "reason"), [("s3://bucket", "pip install"), ("s3://bucket?secret_access_key=x", "has secret_access_key")]
)
def test_a_process_whose_store_can_not_be_opened_does_not_start(monkeypatch, url, reason):
    monkeypatch.setattr("gopher.base.installed.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=reason):
        check_store(Settings.from_env({"GOPHER_STORE": url}))
    check_store(Settings.from_env({"GOPHER_STORE": "redis:"}))
