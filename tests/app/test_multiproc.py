"""The counters of the API's processes: those of ended ones are kept, in two files whatever their number."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

from tests.app.conftest import running_api
from tests.helpers import wait_until

COUNTED = """
import os
from prometheus_client import Counter, Histogram
counter, seconds = Counter("made", "Made.", ["what"]), Histogram("took", "Took.", buckets=(1, 5))
for _ in range(3):
    counter.labels("things").inc()
    seconds.observe(2)
if {dies}:
    os.kill(os.getpid(), 9)
"""
READ = """
from gopher.app import multiproc
multiproc.ensure()
{before}
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
with multiproc.reading():
    print(generate_latest(registry).decode())
"""


def python(code, folder, **more):
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), **more}
    return subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)


def samples(text):
    return dict(re.findall(r"^(\w\S*) (\S+)$", text, re.MULTILINE))


def test_what_ended_processes_have_counted_is_added_up(tmp_path):
    for dies in (False, True, False):
        python(COUNTED.format(dies=dies), tmp_path)
    assert len(list(tmp_path.glob("*.db"))) == 6
    expected = samples(python(READ.format(before=""), tmp_path).stdout)
    assert expected['made_total{what="things"}'] == expected['took_bucket{le="5.0"}'] == "9.0"
    # A process was killed while it wrote its file.
    (tmp_path / "counter_999999999.db").write_bytes(b"no such file")
    for _ in range(2):
        assert samples(python(READ.format(before="multiproc.add_ended()"), tmp_path).stdout) == expected
        assert {path.name for path in tmp_path.glob("*.db")} == {"counter_ended.db", "histogram_ended.db"}


def test_the_files_of_living_processes_stay(tmp_path):
    code = COUNTED.format(dies=False) + "\nprint('ready', flush=True); input()"
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        assert living.stdout.readline() == "ready\n"
        found = samples(python(READ.format(before="multiproc.add_ended()"), tmp_path).stdout)
        assert found['made_total{what="things"}'] == "3.0"
        assert {path.name for path in tmp_path.glob("*.db")} == {
            f"counter_{living.pid}.db",
            f"histogram_{living.pid}.db",
        }
        living.communicate("\n")


def test_a_folder_whose_owner_was_killed_is_removed_by_the_next_one(tmp_path):
    code = "from gopher.app import multiproc; multiproc.ensure(); import os; print(os.environ[multiproc._VARIABLE]){}"
    kept = "; input()"
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

    def run(end):
        command = [sys.executable, "-c", code.format(end)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    with subprocess.Popen(
        [sys.executable, "-c", code.format(kept)], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        folder = living.stdout.readline().strip()
        killed = run("; os.kill(os.getpid(), 9)").stdout
        assert killed == "" or os.path.isdir(killed.strip())
        run("")
        assert [str(path) for path in tmp_path.iterdir()] == [folder]
        living.communicate("\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_api_keeps_its_counters_over_its_lives(folder, redis_url, namespace, tmp_path, number):
    variables = {"GOPHER_NAMESPACE": namespace, "WEB_CONCURRENCY": "1", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for life in range(1, 3):
        with running_api(folder, redis_url, **variables) as api:
            for _ in range(3):
                assert api.get("/api/v1/jobs/types").status_code == 200
            # One of its processes is replaced by another one.
            (child,) = psutil.Process(api.process.pid).children()
            assert f"_{child.pid}.db" in str(list(tmp_path.iterdir()))
            child.send_signal(number)
            wait_until(lambda child=child: not child.is_running())
            wait_until(lambda child=child: f"_{child.pid}.db" not in str(list(tmp_path.iterdir())))
            found = wait_until(lambda: samples(api.get("/metrics").text))
            series = 'gopher_api_requests_total{method="GET",path="/api/v1/jobs/types",status="200"}'
            assert float(found[series]) == 3 * life
            assert len(list(tmp_path.glob("*.db"))) <= 4
