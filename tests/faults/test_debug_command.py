"""`gopherctl debug crash-points`: there, and not shown."""

import json

from click.testing import CliRunner
from gopher.cli.main import cli

from gopher.queue.scripts import names as scripts
from gopher.server.crashpoints import names


def test_lists_the_names_of_all_crash_points():
    answer = CliRunner().invoke(cli, ["debug", "crash-points"])
    assert answer.output.splitlines() == names(scripts())
    assert "enqueue.after_send" in names(scripts())
    assert json.loads(CliRunner().invoke(cli, ["debug", "crash-points", "--json"]).output) == {
        "crash_points": names(scripts())
    }


def test_is_not_shown_to_users():
    assert "debug" not in CliRunner().invoke(cli, ["--help"]).output
