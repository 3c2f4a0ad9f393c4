"""Whatever a text holds that somebody else has chosen, a line of the log stays a line."""

import json
import logging

import pytest

from gopher.config.settings import Settings
from gopher.telemetry import logs

HOSTILE = "a\nINFO forged\x1b[2J\x1b]0;title\x07\u202egnp\x00\x85\u2028end"


@pytest.fixture
def written(capfd):
    """Return what the loggers write, in either format, set back afterwards."""
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level

    def write(log_format):
        logs.configure(Settings(log_format=log_format))
        log = logs.structlog.get_logger(part="test")
        log.warning(f"job {HOSTILE}", job_type=HOSTILE, worker="\x1b[2J\u202e", on={"queue": HOSTILE})
        logging.getLogger("other").warning("library says %s", HOSTILE)
        return capfd.readouterr().err

    yield write
    root.handlers[:], root.level = handlers, level
    logs.structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_line_stays_a_line(written, log_format):
    lines = written(log_format).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        assert "forged" in line
        assert log_format == "console" or HOSTILE in json.loads(line)["event"]
