"""What is told of a crash leads to the user's line."""

import sys
from pathlib import Path

import pytest
from gopher.worker.children import child
from gopher.worker.children.crash_reports import crash_report

import gopher
from gopher.jobs.handlers import Registry, handler

HERE = __file__


@pytest.fixture
def mine():
    registry = Registry()

    @handler("mine", into=registry)
    def mine(job, payload: dict):
        pass

    return registry.get("mine")


def printed(*frames, before=(), header="Current thread 0x00007f (most recent call first):"):
    """Return what `faulthandler` prints, with the frames that lie below each handler."""
    ours = [(child.__file__, "_call"), (child.__file__, "_attempt"), ("/usr/bin/gopherctl", "<module>")]
    stack = [f'  File "{file}", line {number} in {name}' for number, (file, name) in enumerate([*frames, *ours], 1)]
    end = ["", "Extension modules: msgspec._core, numpy.core (total: 2)"]
    return [*before, "Fatal Python error: Segmentation fault", "", header, *stack, *end]


def test_the_frames_of_the_handler_are_shown_and_none_of_those_that_call_it(mine):
    report = crash_report(
        printed((json_file(), "loads"), (HERE, "inner"), (HERE, "handle"), before=["last words"]), mine
    )
    assert report.text.splitlines() == [
        "last words",
        "Fatal Python error: Segmentation fault",
        f'  File "{json_file()}", line 1 in loads',
        f'  File "{HERE}", line 2 in inner',
        f'  File "{HERE}", line 3 in handle',
    ]
    # Not of the library: that is where all crashes of it would be.
    assert report.place == "tests/worker/test_crash_reports.py:2 inner"


def json_file():
    return sys.modules["json"].__file__


def test_of_a_deep_recursion_the_head_is_shown(mine):
    report = crash_report(printed(*[(HERE, f"f{number}") for number in range(100)]), mine)
    assert report.place.endswith(":1 f0")
    assert report.text.splitlines()[1].endswith("line 1 in f0")
    assert report.text.splitlines()[-1] == "  [70 more frames]"


def test_a_shipped_handler_and_one_of_a_library_are_users_code(mine):
    file = str(Path(gopher.__file__).parent / "handlers" / "image.py")
    assert crash_report(printed((file, "image")), mine).place == "gopher/handlers/image.py:1 image"
    assert crash_report(printed((json_file(), "loads")), mine).place == ""
    registry = Registry()
    handler("theirs", into=registry)(sys.modules["json"].JSONEncoder().encode.__func__)
    assert crash_report(printed((json_file(), "loads")), registry.get("theirs")).place == "json/__init__.py:1 loads"


def test_what_another_python_or_no_handler_prints_is_shown_as_well(mine):
    assert crash_report(printed((HERE, "f"), header="Stack (most recent call first):"), None).place.endswith(":1 f")
    assert crash_report(["a", "Traceback ...", "b"], mine) == ("a\nTraceback ...\nb", "")
    assert crash_report([], None) == ("", "")


def test_the_last_of_two_reports_counts(mine):
    lines = [*printed((HERE, "first")), *printed((HERE, "second"))]
    assert crash_report(lines, mine).place.endswith("second")
