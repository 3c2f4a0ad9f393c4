"""Gopher's own processes do not import OpenTelemetry's SDK with redis-py, whose metrics they can use nevertheless."""

import subprocess
import sys

import pytest

_LOOK = "\nimport sys\nprint('redis' in sys.modules, 'opentelemetry.sdk.metrics' in sys.modules)"
_METRICS = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from redis import Redis
from redis.observability import OTelConfig, get_observability_instance
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
get_observability_instance().init(OTelConfig())
Redis.from_url(sys.argv[1]).ping()
print(reader.get_metrics_data() is not None, get_observability_instance().is_enabled())
"""
_PART = "import gopher.{0}\ntry: gopher.{0}.run(None)\nexcept AttributeError: pass"
#: How each begins; without settings the parts end at once.
_OWN = {
    "gopherctl": "import sys, gopher.cli.main as cli\nsys.argv[1:] = ['--version']\n"
    "try: cli.main()\nexcept SystemExit: pass",
    "gunicorn": "import gopher.app.gunicorn_conf, gopher.app.wsgi",
    **{part: _PART.format(part) for part in ("app", "worker", "scheduler")},
}


def run(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("part", _OWN)
def test_an_own_process_does_not_import_the_sdk(part: str) -> None:
    assert run(f"{_OWN[part]}\nimport gopher\ngopher.Client{_LOOK}")[-1] == "True False"


def test_a_program_that_imports_gopher_imports_what_redis_py_imports() -> None:
    assert run(f"import redis{_LOOK}") == run(f"import gopher; gopher.Client{_LOOK}")


def test_the_metrics_of_redis_py_can_be_used_in_an_own_process(redis_url: str) -> None:
    code = "from gopher.base import own_process; own_process.begin(); import gopher; gopher.Client"
    assert run(f"{code}{_LOOK}{_METRICS}", redis_url) == ["True False", "True True"]


def test_nothing_is_hidden_from_a_program_that_has_imported_the_sdk() -> None:
    code = "import opentelemetry.sdk.metrics as sdk; from gopher.base import own_process; own_process.begin()"
    assert run(f"{code}; import gopher; gopher.Client{_LOOK}; print(sys.modules[sdk.__name__] is sdk)") == [
        "True True",
        "True",
    ]
