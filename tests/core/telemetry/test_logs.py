"""Whatever a text holds that somebody else has chosen, a line of the log stays a line."""

import copy
import json
import logging
import subprocess
import sys

import pytest

from gopher.config.settings import Settings
from gopher.telemetry import logs
from gopher.telemetry.loggers import get_logger
from tests.in_process import logging_kept

HOSTILE = "a\nINFO forged\x1b[2J\x1b]0;title\x07\u202egnp\x00\x85\u2028end"


@pytest.fixture
def written(capfd):
    """Return what the loggers write, in either format, set back afterwards."""

    def write(log_format):
        logs.configure(Settings(log_format=log_format))
        log = logs.structlog.get_logger(part="test")
        log.warning(f"job {HOSTILE}", job_type=HOSTILE, worker="\x1b[2J\u202e", on={"queue": HOSTILE})
        logging.getLogger("other").warning("library says %s", HOSTILE)
        return capfd.readouterr().err

    with logging_kept():
        yield write


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_line_stays_a_line(written, log_format):
    lines = written(log_format).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        assert "forged" in line
        assert log_format == "console" or HOSTILE in json.loads(line)["event"]


@pytest.mark.parametrize("closing", ["2> /dev/full", "2>&-", "2> >(true)"])
def test_a_process_goes_on_when_its_log_can_not_be_written(closing):
    code = (
        "import time; from gopher.config.settings import Settings; from gopher.telemetry import logs\n"
        "import logging; logs.configure(Settings.from_env({})); time.sleep(0.2)\n"
        "for _ in range(3): logs.get_logger('x').warning('words' * 9000); logging.warning('others')\n"
        "print('alive')"
    )
    command = f'"$0" -c "$1" {closing}'
    answer = subprocess.run(["bash", "-c", command, sys.executable, code], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, "alive\n")


def test_a_logger_can_be_copied_with_what_has_it():
    assert copy.deepcopy({"log": get_logger("worker")})["log"]._part == "worker"
