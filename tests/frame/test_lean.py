"""What an installation needs: a submission imports little, and what only some need is an extra that is named."""

import re
import runpy
import subprocess
import sys

import pytest

from gopher import Client
from gopher.base import installed
from gopher.base.patterns import regex
from gopher.errors import ConfigurationError
from tests.frame.test_packages import listed, setup_cfg  # noqa: F401 - a fixture

_SUBMIT = """
import sys, gopher
with gopher.Client() as client:
    client.enqueue("greet", {"name": "Ann"})
heavy = {"structlog", "multiprocessing.connection", "httpcore", "certifi", "mimetypes"}
heavy |= {"gopher.jobs.handlers", "gopher.interface.results", "gopher.server.master_watch"}
heavy |= {"gopher.jobs.models", "gopher.queue.moves", "gopher.server.confirming", "gopher.queue.evict"}
print(sorted(heavy & sys.modules.keys()), sum(name.startswith("gopher.") for name in sys.modules) < 130)
import redis, redis.asyncio
from redis import Redis
print(redis.Redis is Redis, redis.asyncio.Redis.__module__, redis.exceptions.ConnectionError.__name__)
"""


def test_a_submission_imports_little_and_redis_py_is_complete_for_the_program(redis_url, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_url)
    # So that the queue is known.
    with Client() as client:
        client.enqueue("greet", {"name": "Ann"})
    done = subprocess.run([sys.executable, "-P", "-c", _SUBMIT], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[] True", "True redis.asyncio.client ConnectionError"], done.stderr


_COLLECTOR = """
import gc, sys
searches = []
gc.callbacks.append(lambda phase, info: searches.append(info))
if "off" in sys.argv:
    gc.disable()
import gopher
at_first = len(searches)
gopher.Client
print(len(searches) - at_first < 10, gc.isenabled())
"""


@pytest.mark.parametrize("collector", ["on", "off"])
def test_modules_are_not_searched_for_garbage_and_the_collector_is_as_before(collector):
    command = [sys.executable, "-P", "-c", _COLLECTOR, collector]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"True {collector == 'on'}\n", done.stderr


def test_a_regular_expression_is_compiled_when_it_is_used_first():
    invalid = regex("(")
    with pytest.raises(re.error):
        invalid.fullmatch("Ann")
    expression = regex("[a-z]+", re.IGNORECASE)
    assert (expression.pattern, expression.flags) == ("[a-z]+", re.IGNORECASE)
    assert expression.fullmatch("Ann")
    assert not expression.fullmatch("4")
    assert regex(rb"\d").sub(b"", b"a1") == b"a"


def test_every_extra_of_libraries_is_known_and_a_missing_one_is_named(setup_cfg, monkeypatch):  # noqa: F811
    extras = set(setup_cfg["options.extras_require"])
    assert extras - {"all", "deep", "lint", "test"} == set(installed.OPTIONAL)
    assert all(map(installed.is_installed, installed.OPTIONAL))
    everything = listed(setup_cfg, "options.extras_require", "all")[0]
    assert set(everything.partition("[")[2].rstrip("]").split(",")) == set(installed.OPTIONAL) - {"demo", "dev", "heif"}
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"^up needs flask, .* pip install 'gopherctl\[web\]'$"):
        installed.require("web", "up")


def test_links_of_the_description_are_absolute_or_left_out(root, monkeypatch):
    monkeypatch.setattr("setuptools.setup", lambda **options: None)
    description = runpy.run_path(str(root / "setup.py"))["description"]
    text = "See [files](docs/files.md#s3), ![a picture](docs/a.png) and [PyPI](https://pypi.org)."
    assert description(text, "https://host/blob/v1/") == (
        "See [files](https://host/blob/v1/docs/files.md#s3), ![a picture](https://host/blob/v1/docs/a.png) and "
        "[PyPI](https://pypi.org)."
    )
    assert description(text, "") == "See files,  and [PyPI](https://pypi.org)."
