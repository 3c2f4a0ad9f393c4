"""`submit --file` and `files`: what goes in and out with a job."""

import os
from pathlib import Path
from threading import Thread

import pytest

from gopher.client import Client

from .conftest import Run

JOB = ("-t", "image_resize", "-p", '{"file": "file", "width": 9}')


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the commands, which has the files of this process, too."""
    monkeypatch.setenv("GOPHER_FILES", str(tmp_path / "files"))
    return tmp_path


def test_a_job_is_submitted_with_files_under_their_names(run: Run, shared: Path, client: Client) -> None:
    (shared / "a=b.txt").write_text("one")
    (shared / "c.txt").write_text("other")
    answer = run("submit", *JOB, "--file", "a=b.txt", "--file", "mask=c.txt")
    assert answer.code == 0, answer.err
    files = client.job(answer.out.strip()).files or {}
    assert {name: (file.name, file.size) for name, file in files.items()} == {
        "file": ("a=b.txt", 3),
        "mask": ("c.txt", 5),
    }
    assert "uploads" in run("job", answer.out.strip()).out


def test_a_pipe_is_a_file_that_can_be_sent(run: Run, shared: Path, client: Client) -> None:
    """As a shell makes it of --file <(convert ...)."""
    os.mkfifo(shared / "pipe")
    writer = Thread(target=lambda: (shared / "pipe").write_text("piped"), daemon=True)
    writer.start()
    answer = run("submit", *JOB, "--file", "pipe")
    assert answer.code == 0, answer.err
    writer.join()
    assert client.files.read_upload(answer.out.strip(), "file") == b"piped"


def test_the_files_of_a_job_are_listed_and_saved(run: Run, shared: Path, client: Client) -> None:
    job_id = client.enqueue("image_resize", {"file": "file", "width": 9})
    assert run("files", job_id).out == ""
    client.files.store.write(f"jobs/{job_id}/a.txt", [b"one"], limit=9)
    listed = run("files", job_id, "--json")
    assert listed.json == {
        "files": [
            {"name": "a.txt", "size": 3, "content_type": "text/plain", "url": f"/api/v1/jobs/{job_id}/files/a.txt"}
        ]
    }
    saved = run("files", job_id, "--save", "here/there")
    assert (saved.code, (shared / "here/there/a.txt").read_text()) == (0, "one"), saved.err
    assert [each.name for each in (shared / "here/there").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--file", "missing.jpg"], "--file: missing.jpg is not a file"),
        (["--file", "."], "--file: . is not a file"),
        (["--file", "c.txt", "--file", "c.txt"], "the name 'file' is given more than once"),
        (["--file", "c.txt", "--cron", "@daily"], "--file can't be used with --cron"),
        (["--file", "c.txt", "--dry-run"], "--file can't be used with --dry-run"),
        (["--file", "empty.txt"], "--file: is empty"),
    ],
)
def test_files_that_can_t_be_sent_are_refused_as_usage(
    run: Run, shared: Path, client: Client, arguments: list[str], reason: str
) -> None:
    (shared / "c.txt").write_text("text")
    (shared / "empty.txt").touch()
    answer = run("submit", *JOB, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err
    assert client.stats().total_enqueued == 0
