"""`export` and `import`: files, what they say, and what is wrong with a file."""

import io
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gopher.admin.transfer.export_file import export_to
from gopher.admin.transfer.import_file import BadLine, IncompleteExport
from gopher.admin.transfer.importer import Imported, Importer
from gopher.client import Client
from gopher.server.embedded import EmbeddedServer
from tests.seeding import SeedingWorker

from .conftest import Answer, Run


@pytest.fixture
def target(redis_url: str) -> Iterator[Client]:
    with Client(redis_url, namespace=f"target-{uuid4().hex[:8]}") as client:
        yield client


@pytest.fixture
def take(run: Run, target: Client) -> Callable[..., Answer]:
    """Run `gopherctl import` with the target's namespace."""

    def _take(*arguments: str, **more: str) -> Answer:
        return run("import", *arguments, GOPHER_NAMESPACE=target.settings.namespace, **more)

    return _take


def test_a_file_is_private_and_complete_and_a_repeat_says_that_all_is_there(
    run: Run, take: Callable[..., Answer], client: Client, tmp_path: Path
) -> None:
    for number in range(450):
        client.enqueue("email", {"n": number}, queue=("default", "mail")[number % 2])
    answer = run("export", "jobs.ndjson")
    assert (answer.code, answer.out, answer.err) == (0, "", "450 jobs of 2 queues exported to jobs.ndjson\n")
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.ndjson"]
    assert stat.S_IMODE(os.stat(tmp_path / "jobs.ndjson").st_mode) == 0o600
    assert take("jobs.ndjson").out == "imported: 450 jobs\n"
    assert take("jobs.ndjson").out == "imported: nothing\nskipped: 450 imported earlier from this export\n"


def test_only_some_queues_and_parts(
    run: Run, take: Callable[..., Answer], client: Client, worker: SeedingWorker
) -> None:
    client.enqueue("email", {}, queue="mail")
    client.enqueue("email", {})
    worker.complete(worker.fetch())
    client.enqueue("email", {})
    worker.dead_letter(worker.fetch()[0])
    kinds = [json.loads(line)["kind"] for line in run("export", "--queue", "default", "--finished").out.splitlines()]
    assert kinds == ["gopher-export", "queue", "job", "job", "end"]
    file = run("export").out
    assert take("--without", "dead", "--json", stdin=file).json["skipped"] == {"omitted": 1}
    assert run("export", "--queue", "nope").err.splitlines()[-1] == (
        "Error: there is no queue 'nope': `gopherctl stats` lists them."
    )


def test_running_jobs_are_named(run: Run, client: Client, worker: SeedingWorker) -> None:
    client.enqueue("email", {})
    worker.fetch()
    assert "1 running job exported as waiting; where they are imported" in run("export").err


WRONG = {
    "not an export": ("hello\n", "line 1 is not the first line of an export: import files that `gopherctl export` has"),
    "other JSON": ('{"type":"email"}\n', "line 1 is not the first line of an export"),
    "empty": ("", "line 1 is missing: the file is empty. Repeat the export"),
    "later format": ('{"kind":"gopher-export","format":9}\n', "line 1 says format 9, but this version reads format 1"),
    "binary": ("\x00\x01\x02", "line 1 is not the first line of an export"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_foreign_file_is_rejected(target: Client, what: str) -> None:
    text, expected = WRONG[what]
    with pytest.raises(BadLine) as raised:
        imported(target, text)
    assert str(raised.value).startswith(expected)


@pytest.fixture
def lines(client: Client) -> list[str]:
    for _ in range(3):
        client.enqueue("email", {})
    client.enqueue("email", {}, delay=60)
    stream = io.BytesIO()
    export_to(client.server, stream, ["default"], ["finished"], lambda jobs, ids: None)
    return stream.getvalue().decode().splitlines()


def imported(target: Client, text: str, **options: Any) -> Imported:
    return Importer(target.server, **options).run(io.BytesIO(text.encode()), lambda jobs, end: None)


def test_a_file_that_was_cut_off_is_rejected_before_anything_is_imported(
    take: Callable[..., Answer], target: Client, lines: list[str], tmp_path: Path
) -> None:
    for text in ("\n".join(lines[:-1]) + "\n", "\n".join(lines)[:-20]):
        (tmp_path / "cut").write_text(text)
        answer = take("cut")
        assert (answer.code, target.stats().total_enqueued) == (1, 0)
        assert "the export is incomplete: it does not end with the last line of an export" in answer.err
    with pytest.raises(IncompleteExport, match="the export is incomplete: its last line is missing"):
        imported(target, "\n".join(lines[:-2]))
    with pytest.raises(IncompleteExport, match="it has 3 of 4 lines of kind 'job'"):
        imported(target, "\n".join([*lines[:3], *lines[4:]]))
    assert take("cut", "--partial", "--skip-bad").code == 1
    assert target.stats().total_enqueued == 4


def changed(line: str, **fields: object) -> str:
    job = json.loads(line)
    job["fields"] |= fields
    return json.dumps(job)


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "cut": (lambda line: line[:50], "is incomplete: the file was cut off, or is not an export"),
    "no JSON": (lambda line: line.replace('"id"', "id"), "is not valid JSON"),
    "kind": (lambda line: line.replace('"job"', '"cat"'), "is not a line of an export: "),
    "type": (lambda line: changed(line, type="A b"), "has the type 'A b': must match"),
    "priority": (
        lambda line: changed(line, priority="soon"),
        "has the priority 'soon': this version knows high, normal",
    ),
    "state": (lambda line: changed(line, state="odd"), "has the state 'odd': this version knows scheduled, pending"),
    "number": (lambda line: changed(line, attempts="x"), "has 'x' in the field 'attempts': must be a number"),
    "id": (lambda line: line.replace('"id":"', '"id":"z'), "has the job id 'z"),
    "queue": (lambda line: line.replace('"queue":"default"', '"queue":"{a}"'), "has the queue '{a}': must match"),
    "binary": (lambda line: line[:-1] + ',"binary":{"x":"?"}}', "has a field in 'binary' that is not Base64"),
    "deep": (lambda line: "[" * 20_000, "is incomplete"),
    "second header": (lambda line: '{"kind":"end"', "is incomplete"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_line_is_named_and_not_imported(target: Client, lines: list[str], what: str) -> None:
    change, expected = BAD[what]
    place = next(at for at, line in enumerate(lines) if '"kind":"job"' in line)
    bad = [*lines[:place], change(lines[place]), *lines[place + 1 :]]
    found: list[BadLine] = []
    with pytest.raises(BadLine) as raised:
        imported(target, "\n".join(bad))
    assert str(raised.value).startswith(f"line {place + 1} {expected}")
    assert target.stats().total_enqueued == 0
    result = imported(target, "\n".join(bad), skip_bad=found.append)
    assert (result.bad, [str(each) for each in found], target.stats().total_enqueued) == (1, [str(raised.value)], 3)


def test_a_fixed_file_is_continued(
    take: Callable[..., Answer], target: Client, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("\n".join([*lines[:4], lines[4][:30], *lines[5:]]))
    answer = take("file")
    assert "Error: line 5 is incomplete" in answer.err
    (tmp_path / "file").write_text("\n".join(lines))
    assert take("file").out == "imported: 4 jobs\n"
    assert target.stats().total_enqueued == 4


STEPS = [
    *(("import", f"transfer/store_jobs.{stage}") for stage in ("before_send", "after_send", "after_reply")),
    ("import", "transfer/link_awaiting.after_send"),
    ("export", "transfer/take_snapshot.after_send"),
    ("export", "transfer/read_snapshot.after_reply:3"),
    ("export", "transfer/drop_snapshot.before_send"),
]


def test_whatever_is_killed_where_a_repeat_completes_it(
    run: Run, take: Callable[..., Answer], client: Client, target: Client, worker: SeedingWorker
) -> None:
    for number in range(900):
        client.enqueue("email", {"n": number}, retention=0)
    parent = client.enqueue("email", {}, queue="other")
    child = client.enqueue("email", {}, after=[parent], retention=0)
    there = SeedingWorker(target)
    ran: list[str] = []
    for command, point in STEPS:
        if command == "export":
            assert run("export", "file", GOPHER_CRASH_AT=point).code == -9
    assert run("export", "file").code == 0
    for command, point in STEPS:
        if command == "import":
            assert take("file", GOPHER_CRASH_AT=point).code == -9
            while jobs := there.fetch(100):
                there.complete(jobs)
                ran += [job.id for job in jobs]
    assert take("file").code == 0
    while jobs := there.fetch(100):
        there.complete(jobs)
        ran += [job.id for job in jobs]
    assert (len(ran), len(set(ran))) == (900, 900)
    assert target.job(child).status == "scheduled"
    following = target.server.keys.for_queue("default").remote_children(parent)
    assert target.server.client.lrange(following, 0, -1) == [child.encode()]


def test_a_server_without_room_stops_an_import_that_can_be_repeated(
    run: Run, take: Callable[..., Answer], client: Client, tmp_path: Path
) -> None:
    client.enqueue_many({"type": "email", "payload": {"text": "x" * 20_000}} for _ in range(500))
    assert run("export", "file").code == 0
    # Not pytest's own folder: its path may be too long for a socket.
    with (
        tempfile.TemporaryDirectory(prefix="gopher-full-") as folder,
        EmbeddedServer(folder, options={"maxmemory": "7mb"}) as server,
    ):
        answer = take("file", "--redis-url", server.url)
        assert answer.code == 1
        notes = answer.err.splitlines()
        assert notes[0].startswith("the server has room for ")
        assert notes[1].endswith("are imported; repeat `gopherctl import file`")
        assert notes[2].endswith("free some with `gopherctl purge --queue-state failed`.")
        with Client(server.url) as there:
            there.server.client.config_set("maxmemory", 0)
        assert "imported earlier from this export" in take("file", "--redis-url", server.url).out
