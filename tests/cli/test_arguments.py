"""What can be said wrong on the command line: exit code 2, with the reason."""

from collections.abc import Sequence

import pytest
from click.testing import CliRunner
from gopher.cli.main import COMMANDS, cli
from gopher.cli.output import one_line, plain_table, printable


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["fly"], "unknown command 'fly'"),
        (["submit"], "Missing option '-t'"),
        (["submit", "-t", "math", "--priority", "urgent"], "'urgent' is not one of"),
        (["submit", "-t", "math", "-r", "101"], "101 is not in the range 0<=x<=100"),
        (["submit", "-t", "math", "-p", "@no-such-file"], "can't read no-such-file: No such file"),
        (["submit", "-t", "math", "--wait", "soon"], "expected a duration"),
        (["wait", "x", "--timeout", "soon"], "expected a duration"),
        (["job"], "Missing argument 'JOB_ID'"),
        (["jobs", "--status", "lost"], "'lost' is not one of"),
        (["jobs", "--limit", "0"], "0 is not in the range"),
        (["retry"], "Missing option '-i'"),
        (["discard", "-i", "x"], "no terminal to confirm it: add --yes"),
        (["purge"], "Missing option '-q'"),
        (["purge", "-q", "running"], "'running' is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["worker", "--concurrency", "0"], "0 is not in the range"),
    ],
)
def test_refuses_what_can_not_be_meant(arguments: Sequence[str], reason: str) -> None:
    answer = CliRunner().invoke(cli, arguments)
    assert answer.exit_code == 2
    assert reason in answer.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_common_options_and_the_help_that_the_list_shows(name: str) -> None:
    answer = CliRunner().invoke(cli, [name, "--help"])
    assert answer.exit_code == 0
    # These two ask no server.
    assert ("--redis-url" in answer.output) == (name not in ("check", "init"))
    assert "--json" in answer.output
    line = COMMANDS[name][1]
    assert line.endswith(".")
    assert line in CliRunner().invoke(cli, ["--help"]).output


def test_control_characters_never_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\r\x00\u202ec\n\td") == "a\\x1b[31mb\\r\\x00\\u202ec\n\td"


def test_a_plain_table_is_aligned_and_one_line_a_row() -> None:
    table = plain_table(("job", "error"), [["1", "two\nlines"], ["long", "x"]])
    assert table == "JOB   ERROR\n1     two lines\nlong  x"


def test_a_long_text_is_cut_to_its_width() -> None:
    assert one_line("word " * 30, 20) == "word word word word…"
