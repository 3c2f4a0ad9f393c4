"""`submit-many`: what becomes of each line, and of a file that is sent again."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gopher.cli.lines import BATCH_BYTES, BATCH_LINES, batches
from gopher.cli.processes import gopherctl

from gopher.client import Client
from gopher.jobs.lines import LONGEST_LINE
from tests.seeding import SeedingWorker

from .conftest import Run


def line(number: int, **more: object) -> str:
    return json.dumps({"type": "math", "payload": {"operation": "prime", "number": number}, **more})


def write(path: Path, count: int, changed: dict[int, str] | None = None) -> str:
    """Write a file of `count` good lines, some replaced; return its name."""
    lines = [(changed or {}).get(number) or line(number) for number in range(1, count + 1)]
    path.write_text("\n".join(lines) + "\n")
    return path.name


def enqueued(client: Client) -> int:
    return client.stats().total_enqueued


def test_submits_every_line_of_a_file_in_order(run: Run, client: Client, worker: SeedingWorker, tmp_path: Path) -> None:
    answer = run("submit-many", write(tmp_path / "jobs.jsonl", 2500))
    assert (answer.code, answer.out, answer.err) == (0, "2,500 jobs submitted\n", "")
    assert enqueued(client) == 2500
    fetched = [json.loads(job.envelope)["payload"]["number"] for _ in range(25) for job in worker.fetch(100)]
    assert fetched == list(range(1, 2501))


def test_reads_stdin_with_blank_lines_line_ends_of_windows_and_a_mark_at_the_start(run: Run, client: Client) -> None:
    answer = run("submit-many", "-", "--json", stdin="\ufeff" + line(1, priority="high") + "\r\n\r\n  \n" + line(2))
    assert answer.json == {**answer.json, "submitted": 2, "bad": 0, "last_line": 4}
    assert sorted(view.priority for view in client.jobs().jobs) == ["high", "normal"]


def test_an_empty_file_is_no_failure(run: Run) -> None:
    assert run("submit-many", "-").out == "0 jobs submitted\n"


BAD = {
    '{"type": "nope", "payload": {}}': "/type: no handler is registered for 'nope'",
    '{"type": "math", "payload": {"operation": "prime", "number": -1}}': "/payload/number: expected `int` >= 0",
    '{"type": "math"': "the body is not valid JSON",
    line(1, queue="No"): "/queue: is 'No': must match",
    line(1, after=[0]): "/after/0: is an index in a batch: use job ids",
    line(1, after=["019f0000-0000-7000-8000-000000000000"]): "/after: there is no job 019f0000",
    line(1, recurring={"cron_expression": "@daily"}): "/recurring: is not supported in a batch",
    line(1, metadata={"x": "y" * LONGEST_LINE}): f"is longer than {LONGEST_LINE} bytes",
}


@pytest.mark.parametrize("bad", [list(BAD)[1], list(BAD)[5]], ids=["field", "parent"])
def test_a_bad_line_is_named_with_its_number_and_field_and_nothing_is_stored(
    run: Run, client: Client, tmp_path: Path, bad: str
) -> None:
    answer = run("submit-many", write(tmp_path / "jobs.jsonl", 20, {17: bad}))
    assert answer.code == 1
    assert f"line 17: {BAD[bad]}" in answer.err
    assert "no lines were stored" in answer.err
    assert enqueued(client) == 0


def test_skip_bad_names_every_bad_line_stores_the_others_and_fails(run: Run, client: Client, tmp_path: Path) -> None:
    changed = dict(enumerate(BAD, 10))
    answer = run("submit-many", write(tmp_path / "jobs.jsonl", 1500, changed), "--skip-bad")
    assert answer.code == 1
    for number, bad in changed.items():
        assert f"line {number}: {BAD[bad]}" in answer.err
    assert answer.out == f"{1500 - len(BAD):,} jobs submitted\n"
    assert f"{len(BAD)} invalid lines skipped" in answer.err
    assert enqueued(client) == 1500 - len(BAD)


def test_a_fixed_file_continues_under_its_key_where_it_stopped(run: Run, client: Client, tmp_path: Path) -> None:
    name = write(tmp_path / "jobs.jsonl", 3000, {2500: "{}"})
    first = run("submit-many", name, "--json")
    assert first.code == 1
    assert (first.json["submitted"], first.json["last_line"]) == (2000, 2000)
    assert (
        f"lines 1 to 2,000 are stored; continue with `gopherctl submit-many {name} --key {first.json['key']}`"
        in first.err
    )
    key = first.json["key"]
    assert enqueued(client) == 2000
    write(tmp_path / "jobs.jsonl", 3000)
    again = run("submit-many", name, "--key", key)
    assert again.out == "3,000 jobs submitted (2,000 of them were already stored)\n"
    assert enqueued(client) == 3000


def test_a_line_that_is_no_text_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_bytes(b'{"type": "math", "payload": {"a": "\xff"}}\n')
    done = subprocess.run(
        gopherctl("submit-many", str(tmp_path / "jobs.jsonl")), env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "line 1: is not UTF-8: invalid start byte at byte 35" in done.stderr


def test_what_was_stored_is_not_changed_under_the_same_key(run: Run, client: Client, tmp_path: Path) -> None:
    assert run("submit-many", write(tmp_path / "jobs.jsonl", 10), "--key", "nightly").code == 0
    answer = run("submit-many", write(tmp_path / "jobs.jsonl", 10, {3: line(99)}), "--key", "nightly")
    assert answer.code == 1
    assert "lines 1 to 10 differ from those stored before with the key nightly" in answer.err
    assert enqueued(client) == 10


def test_counts_lines_that_an_earlier_job_with_the_same_unique_key_represents(run: Run, client: Client) -> None:
    answer = run("submit-many", "-", stdin="\n".join(line(number, unique_key="one") for number in range(3)))
    assert answer.out == "3 jobs submitted (2 of them are duplicates by unique key)\n"
    assert enqueued(client) == 1


def test_shows_how_far_it_is_on_a_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "jobs.jsonl", 3000)
    ours, theirs = pty.openpty()
    command = gopherctl("submit-many", str(tmp_path / "jobs.jsonl"))
    with subprocess.Popen(command, env={**environ, "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = "".join(_chunks(ours))
        assert process.stdout is not None
        assert process.stdout.read() == b"3,000 jobs submitted\n"
    assert "3,000 jobs" in shown
    os.close(ours)


def _chunks(terminal: int) -> Iterator[str]:
    try:
        while chunk := os.read(terminal, 4096):
            yield chunk.decode(errors="replace")
    except OSError:
        # So says Linux when nobody has the other end open any more.
        return


def test_takes_no_more_memory_for_a_longer_file(environ: dict[str, str], tmp_path: Path) -> None:
    # What the kernel tells of an ended child would include ours: the memory that it had before it began.
    code = "import sys; from gopher.cli.main import run; run(sys.argv[1:]); print(open('/proc/self/status').read())"

    def peak(count: int) -> float:
        name = str(tmp_path / write(tmp_path / f"{count}.jsonl", count))
        command = [sys.executable, "-P", "-c", code, "submit-many", name]
        told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
        found = re.search(r"VmHWM:\s+(\d+) kB", told)
        assert found
        return int(found[1]) / 1024

    assert peak(20_000) < min(peak(2_000) + 8, 100)


# How lines become batches.


def test_batches_are_bounded_in_lines_and_bytes_and_the_same_each_time() -> None:
    text = b"".join(b'{"n": %d}\n' % number for number in range(2 * BATCH_LINES + 1))
    found = list(batches(io.BytesIO(text)))
    assert [len(batch.lines) for batch in found] == [BATCH_LINES, BATCH_LINES, 1]
    assert [batch.last for batch in found] == [BATCH_LINES, 2 * BATCH_LINES, 2 * BATCH_LINES + 1]
    assert found[-1].end == len(text)
    long = b"x" * (BATCH_BYTES // 3 + 1)
    assert [len(batch.lines) for batch in batches(io.BytesIO(b"\n".join([long] * 7)))] == [2, 2, 2, 1]


def test_a_line_without_an_end_is_never_held_whole() -> None:
    class Endless(io.RawIOBase):
        largest = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            Endless.largest = max(Endless.largest, size or 0)
            self.left -= 1
            return b"x" * (size or 0) if self.left > 0 else b""

        left = 20

    (batch,) = batches(Endless())  # type: ignore[arg-type]
    assert [each.text for each in batch.lines] == [None]
    assert Endless.largest == LONGEST_LINE + 1


def test_lines_beyond_a_bound_are_not_skipped_as_invalid_but_sent_when_the_file_is_continued(run, client, tmp_path):
    (tmp_path / "jobs.ndjson").write_text(3 * '{"type":"math","payload":{"operation":"prime","number":7}}\n')
    bounded = {"GOPHER_MAX_WAITING": "2"}
    stopped = run("submit-many", "jobs.ndjson", "--key", "file", "--skip-bad", **bounded)
    assert (stopped.code, client.stats().total_enqueued) == (1, 0)
    assert "GOPHER_MAX_WAITING" in stopped.err
    assert "continue with `gopherctl submit-many jobs.ndjson --key file`" in stopped.err
    assert run("submit-many", "jobs.ndjson", "--key", "file", GOPHER_MAX_WAITING="3").code == 0
    assert client.stats().total_enqueued == 3
    refused = run("submit", "-t", "math", "-p", '{"operation":"prime","number":7}', **bounded)
    assert refused.code == 1
