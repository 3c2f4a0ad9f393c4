"""`gopherctl debug crash-points`: there, and not shown."""

import json

from click.testing import CliRunner
from gopher.cli.main import cli

from gopher.crashpoints import names


def test_lists_the_names_of_all_crash_points():
    answer = CliRunner().invoke(cli, ["debug", "crash-points"])
    assert answer.output.splitlines() == names()
    assert "enqueue.after_send" in names()
    assert json.loads(CliRunner().invoke(cli, ["debug", "crash-points", "--json"]).output) == {"crash_points": names()}


def test_is_not_shown_to_users():
    assert "debug" not in CliRunner().invoke(cli, ["--help"]).output
