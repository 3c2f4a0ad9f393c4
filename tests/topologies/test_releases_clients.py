"""Commands of this release work with an API of the release before, and the other way round."""

import json
import re
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.in_process import run_command
from tests.topologies.fleet import BEFORE, NOW, Fleet, python_of
from tests.topologies.stack import QUEUES
from tests.topologies.test_every_call import COMMANDS, Here

pytestmark = pytest.mark.deep

#: Commands that the release before does not have, but whose calls its API answers.
ANSWERED = {"health", "redrives list"}
#: Those that have no call of the API, or that need more than one process.
OTHERS = {"debug crash-points", "completion", "doctor", "retries stop", "redrives stop"}
#: Runs one command a line, and tells how each has ended.
RUNNER = """
import json, sys
from gopher.cli import main
for line in sys.stdin:
    try:
        code = main.run(json.loads(line))
    except SystemExit as ended:
        code = ended.code
    print("ENDED", code, file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def fleet():
    parts = [(part, release) for part in ("app", "worker", "scheduler") for release in (BEFORE, NOW)]
    with Fleet(*parts, WORKER_QUEUES=",".join(QUEUES)) as running:
        yield running


@pytest.fixture(scope="module")
def known_before(fleet):
    """The commands that the release before has."""
    names = list(COMMANDS)
    codes, said = run_before([[*name.split(), "--help"] for name in names], fleet)
    known = {name for name, code in zip(names, codes, strict=True) if code == "0"}
    assert {"submit", "schedules add"} <= known < set(names), said
    return known


def run_before(commands, fleet, url=""):
    """Run commands of the release before in one process, on the server or over the API of a URL.

    Returns how each has ended, and what they have said.
    """
    environ = fleet.environ_of(BEFORE)
    if url:
        del environ["REDIS_URL"]
        environ["GOPHER_URL"] = url
    done = subprocess.run(
        [python_of(BEFORE), "-c", RUNNER], input="\n".join(map(json.dumps, commands)), cwd=fleet.folder,
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [line.split()[1] for line in done.stderr.splitlines() if line.startswith("ENDED")], done.stderr


@contextmanager
def here_at(fleet, release):
    """Make the jobs that commands are about by the API of a release."""
    (address,) = fleet.addresses(release)
    here = Here(SimpleNamespace(client=fleet.client, address=address, events=fleet.events))
    with here.http:
        here.schedule()
        yield here


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in OTHERS])
def test_a_command_works_with_an_api_of_the_release_before_or_says_that_it_is_too_old(
    fleet, known_before, command, monkeypatch, capfd
):
    (api,) = fleet.addresses(BEFORE)
    monkeypatch.setenv("GOPHER_URL", api)
    with here_at(fleet, BEFORE if command in known_before else NOW) as here:
        code = run_command([*command.split(), *COMMANDS[command](here)])
    said = capfd.readouterr()
    if command in known_before | ANSWERED:
        assert code == 0, said.out + said.err
        return
    assert code == 1
    remedy = "Upgrade the API; if it is of this release, check the path in GOPHER_URL."
    told = rf"Error: the API at {api} does not know [A-Z]+ /api/v1/\S+: its release is older than this client's, \S+\. "
    assert re.fullmatch(told + re.escape(remedy), said.err.splitlines()[-1]), said.err


@pytest.mark.parametrize("release", [NOW, BEFORE])
def test_all_commands_of_the_release_before_work_with_an_api_of_this_one_and_with_its_data(
    fleet, known_before, release
):
    """Over the API of this release, and on the server."""
    # What they are about is made before the first one runs; the job of `stack` ends before long.
    order = {"stack": -3, "discard": -2, "retry": -1, "schedules delete": 1}
    names = sorted(known_before - OTHERS, key=lambda name: (order.get(name, 0), [*COMMANDS].index(name)))
    with here_at(fleet, NOW) as here:
        commands = [[*name.split(), *COMMANDS[name](here)] for name in names]
    codes, said = run_before(commands, fleet, fleet.addresses(NOW)[0] if release == NOW else "")
    failed = [command for command, code in zip(commands, codes, strict=True) if code != "0"]
    assert failed == [], said
