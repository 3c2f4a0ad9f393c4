"""What handlers may read and write: the folder GOPHER_FILES, and nothing beside it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gopher.client import Client
from gopher.handlers.files import FileRefused, files_folder, is_ours, read_source
from gopher.jobs.job import new_job_id
from gopher.jobs.owners import TRUSTED, Submitter
from gopher.jobs.prepare import prepare_fields

JOB_ID = "0192f0c1-5a3e-7000-8000-000000000001"


@pytest.fixture
def cats(files_folder: Path) -> Path:
    (files_folder / "cats").mkdir()
    (files_folder / "cats" / "tom & co.txt").write_bytes(b"miaow")
    return files_folder


@pytest.mark.parametrize(
    "url",
    ["file:cats/tom%20%26%20co.txt", "file:./cats//tom%20%26%20co.txt", "file:cats/tom & co.txt"],
)
def test_reads_a_file_below_the_folder(cats: Path, url: str) -> None:
    assert read_source(url, 100) == b"miaow"


def test_reads_an_absolute_path_below_the_folder(cats: Path) -> None:
    for prefix in ("file:", "file://", "file://localhost"):
        assert read_source(f"{prefix}{cats}/cats/tom & co.txt", 100) == b"miaow"


@pytest.mark.parametrize(
    "url",
    [
        "file:../secret.txt",
        "file:cats/../../secret.txt",
        "file:%2e%2e/secret.txt",
        "file:cats%2f..%2f..%2fsecret.txt",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "file:////etc/passwd",
        "file://elsewhere/cats/tom.txt",
        "file:cats/tom.txt%00.jpg",
        "file:cats",
        "file:cats/none.txt",
        "file:",
        "file:.",
        "file:cats/tom.txt?x",
        "file:" + "x" * 5000,
    ],
)
def test_refuses_what_is_no_file_below_the_folder(cats: Path, url: str) -> None:
    with pytest.raises(FileRefused):
        read_source(url, 100)


def test_refuses_an_absolute_path_that_only_begins_like_the_folder(cats: Path) -> None:
    beside = cats.parent / "files-of-others"
    beside.mkdir()
    (beside / "secret.txt").write_text("secret")
    for url in (f"file://{beside}/secret.txt", f"file://{cats}/../secret.txt"):
        with pytest.raises(FileRefused):
            read_source(url, 100)


def test_refuses_symbolic_links_at_any_step(cats: Path) -> None:
    (cats / "link.txt").symlink_to(cats.parent / "secret.txt")
    (cats / "up").symlink_to(cats.parent)
    for url in ("file:link.txt", "file:up/secret.txt"):
        with pytest.raises(FileRefused):
            read_source(url, 100)


def test_does_not_wait_for_a_pipe(cats: Path) -> None:
    os.mkfifo(cats / "pipe")
    with pytest.raises(FileRefused, match="not a regular file"):
        read_source("file:pipe", 100)


def test_refuses_a_file_of_too_many_bytes(cats: Path) -> None:
    with pytest.raises(FileRefused, match="5 bytes, more than the 4 allowed"):
        read_source("file:cats/tom & co.txt", 4)


def test_makes_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPHER_FILES", str(tmp_path / "new" / "files"))
    assert files_folder().is_dir()


@pytest.mark.parametrize("name", ["photo.jpg", "0192-1x1.jpg", ".hidden", f"{JOB_ID}.jpg", f"{JOB_ID}-1x1.sh"])
def test_takes_no_file_of_others_for_its_own(name: str) -> None:
    assert not is_ours(name)


@pytest.fixture(params=["jobs/{}/8x8.png", "{}-8x8.png"], ids=["now", "by earlier versions"])
def name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return the path below the folder of a file that a job has written."""
    return str(request.param).format


@pytest.fixture
def written(
    cats: Path, name: Callable[[str], str], redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Owner -> the URL of a file that a job of that owner has written."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("GOPHER_NAMESPACE", namespace)
    urls = {}
    with Client(redis_url, namespace=namespace) as client:
        for owner in ("shop", "blog", ""):
            submitter = Submitter(owner, sees_all=False) if owner else TRUSTED
            (stored,) = client.store([prepare_fields({"type": "math", "payload": {}})], submitter=submitter)
            urls[owner] = f"file:{name(stored.job_id)}"
            path = cats / name(stored.job_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(owner.encode())
    return urls


def test_a_job_reads_what_jobs_of_its_owner_have_written(written: dict[str, str]) -> None:
    assert read_source(written["shop"], 100, "shop") == b"shop"
    assert read_source("file:cats/tom & co.txt", 100, "shop") == b"miaow"
    # A trusted one reads all.
    assert [read_source(url, 100) for url in written.values()] == [b"shop", b"blog", b""]


@pytest.mark.parametrize("owner", ["blog", ""])
def test_what_a_job_of_another_owner_has_written_is_as_if_it_was_not_there(
    written: dict[str, str], name: Callable[[str], str], owner: str
) -> None:
    missing = f"file:{name(new_job_id())}"
    url = written[owner]
    told = []
    for each in (url, url.upper().replace("FILE:", "file:"), url.replace("file:", "file:./"), missing):
        with pytest.raises(FileRefused) as caught:
            read_source(each, 100, "shop")
        told.append(str(caught.value).replace(repr(each), ""))
    assert set(told) == {" can't be read in GOPHER_FILES: No such file or directory"}


@pytest.mark.parametrize("path", ["uploads/trusted/{}", "Uploads/trusted/{}", "./uploads/trusted/{}"])
def test_a_job_with_an_owner_reads_no_upload_by_its_path(cats: Path, path: str) -> None:
    for folder in ("uploads", "Uploads"):
        upload = cats / folder / "trusted" / JOB_ID
        upload.parent.mkdir(parents=True, exist_ok=True)
        upload.write_bytes(b"picture")
    with pytest.raises(FileRefused, match="No such file"):
        read_source(f"file:{path.format(JOB_ID)}", 100, "shop")
    assert read_source(f"file:{path.format(JOB_ID)}", 100) == b"picture"
