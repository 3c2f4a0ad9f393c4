"""The file by which a probe sees whether a worker or a scheduler lives."""

import os
import time

import pytest

from gopher.errors import ConfigurationError
from gopher.telemetry.liveness import HealthFile, NotAlive, check


@pytest.fixture
def path(tmp_path):
    return tmp_path / "health"


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_process_that_beats_and_hears_lives(path):
    file = HealthFile(path, 5.0, 30.0)
    file.begin()
    assert check(path).pid == os.getpid()
    age(path, 12)
    check(path)


def test_a_file_that_gets_old_is_of_a_process_that_hangs(path):
    HealthFile(path, 5.0, 30.0).begin()
    age(path, 16)
    with pytest.raises(NotAlive, match=r"hangs: it updated .* \d\d s ago instead of every 5 s"):
        check(path)


def test_a_server_that_is_silent_for_too_long_is_reported(path):
    file = HealthFile(path, 5.0, 0.0)
    time.sleep(0.01)
    file.beat()
    with pytest.raises(NotAlive, match="is alive, but its server has not responded since"):
        check(path)
    HealthFile(path, 5.0, 30.0).beat()
    check(path)


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_no_file_or_another_one_is_no_life(path, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotAlive, match="can't be read"):
        check(path)


def test_a_process_that_leaves_takes_it_along(path):
    file = HealthFile(path, 5.0, 30.0)
    file.begin()
    file.remove()
    assert list(path.parent.iterdir()) == []
    file.remove()


def test_without_a_path_nothing_is_written(path):
    file = HealthFile(None, 5.0, 30.0)
    for act in (file.begin, file.beat, file.remove):
        act()
    assert list(path.parent.iterdir()) == []


def test_an_unwritable_path_is_reported_at_start(tmp_path):
    file = HealthFile(tmp_path / "no-such-folder" / "health", 5.0, 30.0)
    with pytest.raises(ConfigurationError, match="GOPHER_HEALTH_FILE=.*can't write it: No such file"):
        file.begin()
    # Later it is no reason to stop.
    file.beat()
