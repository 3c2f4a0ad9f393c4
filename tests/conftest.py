"""A real server for the tests: its own process, its own folder. The developer's server is never touched."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest

from gopher.config.settings import Settings
from gopher.server.embedded import EmbeddedServer
from tests.helpers import STARTED

# Else each of thousands of processes would compile Gopher again, and each of pytest's the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# An example takes longer than usual while other processes have the processors.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

#: Set where every test must run (.ci/run): a machine that lacks what a test needs fails it instead of leaving it out.
_NO_SKIPS = bool(os.environ.get("GOPHER_TEST_NO_SKIPS"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which GOPHER_TEST_NO_SKIPS forbids: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Do not search for garbage meanwhile: of all that is made there is none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Thousands of tests stay: else each search for garbage among all objects would stop what runs for a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def only_our_settings() -> Iterator[None]:
    """Leave out what the developer's own environment says: REDIS_URL above all."""
    names = Settings.names() - {"GOPHER_REDIS_SERVER"}
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def handlers_note_that_they_have_started() -> Iterator[None]:
    """Tell all processes that a test starts where to, for `tests.helpers.wait_until_started`."""
    with tempfile.TemporaryDirectory(prefix="gopher-started-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(STARTED, folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_our_processes() -> None:
    """What a shell starts in the background inherits that SIGINT is ignored, and so would all that a test starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A running server for the whole session. A test that stops or fills one starts its own."""
    # Not pytest's own folder: its path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="gopher-test-"))
    try:
        with EmbeddedServer(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url(server: EmbeddedServer) -> str:
    return server.url


@pytest.fixture
def namespace() -> str:
    """A prefix of keys that no other test has, so that nothing needs to be flushed."""
    return f"test-{uuid4().hex[:12]}"
