"""The documents' examples are true: their commands are run against a running system, and answered as it is written."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from tests.docs.console import Command, Terminal, commands, difference, rendered, rewritten
from tests.docs.system import GUIDES, PAGES, ROOT, running_system
from tests.helpers import wait_until

#: Pages whose commands are run by `make test`; those of the others take longer.
_QUICK = ("README.md", "docs/api.md")
#: Commands that are repeated until they say what is written. Figures of workers follow within a second, and a job that
#: was cancelled stops within one. A batch that is being retried can be cancelled once a scheduler is done with that.
#: What handlers declare is told by processes that have just started. A dead letter that is retried may still wait for a
#: worker, and on a busy machine a picture or a report takes longer than a request waits.
_LATE = re.compile(
    r"workers|stats|doctor|health|why|[?]wait=|--wait \d|batches/\S+/cancel|purge .*default|(limits|schedules)$"
)


@pytest.mark.parametrize(
    "name", [name if name in _QUICK else pytest.param(name, marks=pytest.mark.deep) for name in PAGES]
)
def test_the_commands_of_a_page_are_answered_as_it_is_written(name: str) -> None:
    page = (ROOT / name).read_text()
    found = commands(page)
    assert found
    # Not pytest's own folder: its path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="gopher-docs-") as folder, running_system(Path(folder), page) as terminal:
        for command in found:
            wrong = complaint(terminal, command)
            if wrong and _LATE.search(command.text):
                wait_until(lambda command=command: not complaint(terminal, command), 60, wrong)
            else:
                assert not wrong, f"{name}: $ {command.text}\n{wrong}"


def complaint(terminal: Terminal, command: Command) -> str:
    """Return what a command says and where that differs from its documented answer; "" when it does not."""
    said = terminal.run(command)
    terminal.learn(command.answer, said)
    wrong = difference(command.answer, said) if command.answer else ""
    return wrong and f"{said}\n{wrong}"


def test_no_page_shows_commands_without_running_them() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        page = path.read_text()
        assert page.count("```console") == page.count("<!-- run -->\n```console"), path.name
        assert "<!-- run -->" not in page or str(path.relative_to(ROOT)) in (*PAGES, *GUIDES), (
            f"{path.name} is not among PAGES"
        )


def test_the_documents_name_no_machine() -> None:
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        text = path.read_text()
        assert tempfile.gettempdir() + os.sep not in text, path.name
        assert os.uname().nodename not in text, path.name


# What reads and compares them.

PAGE = """\
<!-- run -->
```console
$ echo '{"a":
  1}' # not a comment of ours
{"a":1,...}
$ mkdir -p files
```
```console
$ not run
```
"""


def test_reads_commands_over_several_lines_with_their_answers() -> None:
    assert commands(PAGE) == [
        Command("echo '{\"a\":\n  1}' # not a comment of ours", '{"a":1,...}\n'),
        Command("mkdir -p files", ""),
    ]


def test_writes_answers_and_ids_into_a_page() -> None:
    old, new = "01a20cfe-d930-76df-bb12-fc8e5b5fed66", "01a20d1a-5744-7ea1-87d0-36604a225da3"
    page = rewritten(PAGE + old, ['{"a":2}\n', ""], {old: new})
    assert '  1}\' # not a comment of ours\n{"a":2}\n$ mkdir' in page
    assert page.endswith(new)


@pytest.mark.parametrize(
    ("documented", "said"),
    [
        ('{"a":1,...}', '{"a":1,"b":2}'),
        ('{...,"b":2,...}', '{"a":1,"b":2,"c":3}'),
        ('[{"a":1},...]', '[{"a":1},{"a":2}]'),
        ('{"text":"Prunes old..."}', '{"text":"Prunes old results"}'),
        ('{"at":"2026-11-24T10:28:33.085Z"}', '{"at":"2027-01-01T00:00:00.000Z"}'),
        ('{"duration":0.1}', '{"duration":0.25}'),
        ("job       math\nduration  12ms", "job  math\nduration  1h30m"),
        ("duration  12ms\nworker  ann", "duration  1s\ncpu time  9ms (8ms user, 1ms system)\nworker  ann"),
        ("TYPE\n...\nmath", "TYPE\nemail\nreport\nmath"),
        ("TYPE\n...\nmath", "TYPE\nmath"),
        ("TYPE\n...", "TYPE\nemail\nreport"),
        ("ann  4242  ...  up", "ann  4242  12 MiB  up"),
    ],
)
def test_lets_what_may_change_be_different(documented: str, said: str) -> None:
    assert difference(documented, said) == ""


@pytest.mark.parametrize(
    ("documented", "said"),
    [
        ('{"a":1}', '{"a":1,"b":2}'),
        ('{"a":1,...}', '{"b":2}'),
        ('{"status":"pending"}', '{"status":"failed"}'),
        ('{"count":1}', '{"count":2}'),
        ('{"count":1}', '{"count":true}'),
        ("[]", "[1]"),
        ('{"a":1}', "not JSON"),
        ("(200, 150)", "(100, 75)"),
        ("math is paused", "math goes on"),
        ("TYPE\n...\nmath", "TYPE\nemail"),
    ],
)
def test_sees_what_must_not_change(documented: str, said: str) -> None:
    assert difference(documented, said)


def test_a_new_answer_omits_what_the_old_one_did() -> None:
    said = '{"id":7,"type":"math","log":["a","b"],"note":"a long story","result":{"x":1}}'
    assert rendered("?", said) == said + "\n"
    assert rendered('{...,"type":"email",...}', said) == '{...,"type":"math",...}\n'
    assert rendered('{"log":["z",...],"note":"once...","result":?,...}', said) == (
        '{"log":["a",...],"note":"a lo...","result":{"x":1},...}\n'
    )
