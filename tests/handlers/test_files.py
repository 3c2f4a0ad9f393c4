"""What handlers may read and write: the folder GOPHER_FILES, and nothing beside it."""

import os
from pathlib import Path

import pytest

from gopher.handlers.files import FileRefused, files_folder, is_ours, read_source, write_file
from gopher.jobs.job import new_job_id

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


def test_writes_a_file_that_it_knows_again(files_folder: Path) -> None:
    job_id = new_job_id()
    path = write_file(job_id, "200x100", "jpg", b"first")
    assert path == files_folder / f"{job_id}-200x100.jpg"
    assert path.stat().st_mode & 0o777 == 0o644
    assert write_file(job_id, "200x100", "jpg", b"second") == path
    assert [entry.name for entry in files_folder.iterdir()] == [path.name]
    assert path.read_bytes() == b"second"
    assert is_ours(path.name)


def test_leaves_nothing_behind_when_it_can_not_write(files_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def fail(source: str, target: Path) -> None:
        names.append(Path(source).name)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_file(new_job_id(), "200x100", "jpg", b"half")
    assert list(files_folder.iterdir()) == []
    # A kill at that moment would leave it: cleanup must know that name too.
    assert is_ours(names[0])


@pytest.mark.parametrize("job_id", ["../../evil", "", "a/b", "x" * 300])
def test_refuses_a_job_id_that_would_lead_elsewhere(files_folder: Path, job_id: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        write_file(job_id, "200x100", "jpg", b"")


@pytest.mark.parametrize("name", ["photo.jpg", "0192-1x1.jpg", ".hidden", f"{JOB_ID}.jpg", f"{JOB_ID}-1x1.sh"])
def test_takes_no_file_of_others_for_its_own(name: str) -> None:
    assert not is_ours(name)
