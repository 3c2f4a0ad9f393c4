"""What `gopherctl` writes to terminals of all kinds, and to streams that are closed or can't be written to."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from gopher.cli.processes import gopherctl

from gopher.client import Client
from tests.seeding import SeedingWorker
from tests.worker.nursery import Raised, can_raise

pytestmark = pytest.mark.deep

COLOURS = re.compile(r"\x1b\[[\d;]*m")
LONG = "a-queue-with-a-name-of-sixty-three-characters-as-long-as-allowed"[:63]


def on_terminal(environ, *arguments, columns=80, **more):
    """Run a command on a terminal of its own; return its exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {name: value for name, value in environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environ |= {"TERM": "xterm", **more}
    if can_raise(more):
        terminal = Path(os.ttyname(theirs))
        process = Raised(
            "gopher.cli", environ, Path.cwd(), terminal, arguments=arguments, stdin=terminal, safe_path=True
        )
    else:
        process = subprocess.Popen(gopherctl(*arguments), env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return process.wait(120), written.decode(errors="replace")


@pytest.fixture
def busy(environ):
    """Everything that is listed, with names as long as they may be."""
    with Client(environ["REDIS_URL"], namespace=environ["GOPHER_NAMESPACE"]) as client:
        worker = SeedingWorker(client, LONG)
        client.server.register_queues(LONG)
        for number in range(3):
            client.enqueue("a-type-with-a-long-name", {"text": "…"}, queue=LONG)
            worker.dead_letter(
                worker.fetch()[0], "AnErrorWithALongName", f"shop/a/long/path/of/a/module.py:{number} send"
            )
        client.enqueue("email", {"text": "…中"})
        client.dead_letters.retry_gradually(rate="1/h")
        client.flow.set_limit("a-type-with-a-long-name", "10/s", 5, 3)
        yield client


LISTS = [
    ("jobs",),
    ("list-failed",),
    ("list-failed", "--groups"),
    ("limits",),
    ("stats",),
    ("redrives",),
    ("schedules",),
    ("types",),
]


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_tables_fit_a_terminal_of_80_columns(environ, run, busy, arguments):
    if arguments == ("schedules",):
        schedule = ("a-schedule-with-a-long-name", "--cron", "0 0 1,15 * 1-5", "-t", "cleanup", "--queue", LONG)
        run("schedules", "add", *schedule)
    code, shown = on_terminal(environ, *arguments)
    lines = [COLOURS.sub("", line) for line in shown.splitlines()]
    notes = [line for line in lines if line.startswith("not shown") or "enqueued so far" in line]
    assert (code, all(len(line) <= 80 for line in lines if line not in notes)) == (0, True), "\n".join(lines)
    if arguments == ("jobs",):
        # What names a row is complete, so that it can be copied.
        assert all(any(line.startswith(job.job_id) for line in lines) for job in busy.jobs().jobs)
        assert notes == ["not shown, as the terminal has 80 columns: queue, priority, attempts, created (UTC)"]
        wide = COLOURS.sub("", on_terminal(environ, *arguments, columns=250)[1])
        assert (LONG in wide, "not shown" in wide) == (True, False)


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}, {}, {"NO_COLOR": ""}], ids=str)
def test_colours_only_where_they_are_wanted(environ, busy, more):
    """An empty NO_COLOR counts as none: https://no-color.org"""
    for command in (("jobs",), ("health",), ("wait", "none") if "TERM" in more else ("job", "none")):
        shown = on_terminal(environ, *command, **more)[1]
        assert ("\x1b" in shown) == (not any(more.values()) and "TERM" not in more), (command, shown)


def test_a_log_on_a_terminal_has_none_either(environ):
    code = (
        "from gopher.config.settings import Settings; from gopher.telemetry import logs\n"
        "logs.configure(Settings.from_env()); logs.get_logger('x').warning('words')"
    )
    for more, has in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        ours, theirs = pty.openpty()
        environ = {**environ, "TERM": "xterm", **more}
        subprocess.run([sys.executable, "-c", code], env=environ, stdout=theirs, stderr=theirs, check=True)
        os.close(theirs)
        assert (b"\x1b" in os.read(ours, 4096)) == has
        os.close(ours)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}], ids=str)
def test_characters_that_can_not_be_written_are_escaped(environ, busy, locale):
    (job,) = busy.jobs(queue="default").jobs
    shown = COLOURS.sub("", on_terminal(environ, "job", job.job_id, **locale)[1])
    assert re.search(r'"text":"(…|\.\.\.)\\u4e2d?', shown) or '"text":"…中"' in shown, shown
    # Columns are too narrow for their names, so that some are shortened.
    assert on_terminal(environ, "stats", columns=60, **locale)[0] == 0
    # JSON stays JSON, whatever a terminal can show.
    assert json.loads(on_terminal(environ, "job", job.job_id, "--json", **locale)[1])["payload"] == {"text": "…中"}
    environ = {**environ, **locale}
    answer = subprocess.run(gopherctl("job", job.job_id, "--json"), env=environ, capture_output=True, check=True)
    assert json.loads(answer.stdout.decode())["payload"] == {"text": "…中"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", b"caf\xe9"),
        (b"caf\xe9",),
        ("submit", "-t", b"caf\xe9", "-p", "{}"),
        ("submit", "-t", "email", "-p", b'{"to": "\xe9"}'),
        ("submit", "-t", "email", b"--payload=@caf\xe9"),
    ],
    ids=repr,
)
def test_an_argument_that_is_no_text_is_a_usage_error(environ, arguments):
    answer = subprocess.run(gopherctl() + list(arguments), env=environ, capture_output=True, check=False, timeout=120)
    assert answer.returncode == 2
    assert b"Traceback" not in answer.stderr
    assert re.search(rb"\\x..'? is not valid utf-8 text", answer.stderr) or b"\\x" in answer.stderr, answer.stderr


def test_a_file_whose_name_is_no_text_is_read(environ, tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(path)).write_text('{"to":"a@example.com","subject":"s","body":"b"}')
    answer = subprocess.run(
        [*gopherctl("submit", "-t", "email", "-p"), b"@" + path],
        env=environ,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert len(answer.stdout.strip()) == 36


@pytest.mark.parametrize("source", ["-", "@payload"])
def test_a_payload_that_is_no_text_is_said(environ, tmp_path, source):
    (tmp_path / "payload").write_bytes(b'{"to":"\xe9"}')
    answer = subprocess.run(
        gopherctl("submit", "-t", "email", "-p", source),
        env=environ, cwd=tmp_path, input=b'{"to":"\xe9"}', capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert answer.returncode in (1, 2)
    assert answer.stderr.startswith((b"Error:", b"Usage:"))
    assert b"Traceback" not in answer.stderr


def shell(environ, line):
    command = " ".join(gopherctl())
    return subprocess.run(
        ["bash", "-c", line.replace("gopherctl", command)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(environ, busy, closed):
    for command, code in (("jobs", 0), ("stats --json", 0), ("job none", 1), ("submit -t echo -p '{}'", 2)):
        answer = shell(environ, f"gopherctl {command} {closed}; echo code $?")
        assert answer.stdout.splitlines()[-1] == f"code {code}"
        assert "Traceback" not in answer.stderr
        assert "Exception" not in answer.stderr


def test_a_reader_that_leaves_is_no_error_to_read(environ, busy):
    for command in ("jobs", "jobs --json"):
        answer = shell(environ, f"gopherctl {command} | true")
        assert answer.stderr == ""


def test_when_the_reader_of_up_leaves_it_drains_as_on_ctrl_c(environ):
    code = (
        "import sys; from gopher.cli.up import Printer; from gopher.cli.processes import interruptions\n"
        "with interruptions() as noted: [Printer()('web', 'a line') for _ in range(3)]\n"
        "print(noted.count, file=sys.stderr)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environ, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip
    os.close(writer)
    assert answer.stderr == "1\n"


def test_a_full_disk_is_one_sentence(environ, busy):
    for command in ("jobs", "--help"):
        answer = shell(environ, f"gopherctl {command} > /dev/full; echo code $?")
        assert answer.stdout == "code 1\n"
        assert re.fullmatch(r"Error: .*No space left on device\n", answer.stderr), answer.stderr


def test_the_probe_of_a_container_imports_little(environ, tmp_path):
    """It runs every few seconds beside each worker and scheduler."""
    code = (
        "import sys\nfrom gopher.cli.main import run\n"
        "print(run(['health', '--worker', '--health-file', 'health']))\n"
        "print([name for name in sys.modules if name.partition('.')[0] in "
        "('redis', 'structlog', 'rich', 'flask', 'croniter', 'ssl', 'httpcore') or name == 'gopher.client'])\n"
        "print(sum(name.startswith('gopher.') for name in sys.modules))"
    )
    (tmp_path / "health").write_text('{"pid":7,"heard_at":1e12,"every":1e9,"patience":1e9}')
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    alive, exit_code, heavy, own = answer.stdout.splitlines()
    assert (alive, exit_code, heavy) == ("process 7 is alive", "0", "[]")
    assert int(own) <= 25
