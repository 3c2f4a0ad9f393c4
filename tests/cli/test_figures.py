"""`stats`, `workers`, `health`, `types`."""

import json
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gopher.cli.output import fitting

from gopher.client import Client
from gopher.server.embedded import EmbeddedServer
from tests.helpers import wait_until
from tests.seeding import SeedingWorker
from tests.worker.nursery import Raised

from .conftest import Run

Background = Callable[..., Raised]


def test_counts_what_waits_at_each_priority(run: Run, client: Client, worker: SeedingWorker) -> None:
    client.enqueue("math", {}, priority="high")
    client.enqueue("math", {}, priority="low")
    client.enqueue("math", {}, delay="1h")
    stats = run("stats", "--json").json
    assert (stats["queue_size"], stats["total_enqueued"]) == (2, 3)
    assert stats["queues"]["default"]["priorities"]["low"]["waiting"] == 1
    head, row = run("stats").out.splitlines()
    figures = dict(zip(head.split(), row.split(), strict=True))
    assert (figures["HIGH"], figures["NORMAL"], figures["LOW"], figures["SCHEDULED"]) == ("1", "0", "1", "1")


def test_an_empty_installation_is_no_error(run: Run) -> None:
    answer = run("stats")
    assert answer.code == 0
    assert "no queues yet" in answer.err


def test_watch_shows_new_figures_until_it_is_interrupted(
    background: Background, client: Client, tmp_path: Path
) -> None:
    client.enqueue("math", {})
    process = background("stats", "--watch", "--interval", "100ms", "--json")

    def sizes() -> list[int]:
        # The last line may be half written.
        written = (tmp_path / "log-0").read_text().rpartition("\n")[0]
        return [json.loads(line)["queue_size"] for line in written.splitlines()]

    wait_until(lambda: 1 in sizes())
    client.enqueue("math", {})
    wait_until(lambda: 2 in sizes())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_watch_continues_when_the_server_was_unavailable(background: Background, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gopher-watch-") as folder, EmbeddedServer(folder) as server:
        process = background("stats", "--watch", "--interval", "100ms", "--json", REDIS_URL=server.url)
        log = tmp_path / "log-0"
        wait_until(lambda: "queue_size" in log.read_text())
        server.kill()
        wait_until(lambda: "the server is unreachable" in log.read_text())
        server.start()
        wait_until(lambda: "queue_size" in log.read_text().rpartition("unreachable")[2])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_watch_on_a_narrow_terminal_leaves_columns_out_and_cuts_no_figure() -> None:
    columns, rows = (
        ("queue", "normal", "oldest", "enqueued", "per s"),
        [["default", "1,234,567", "3s", "9,999,999", "5"]],
    )
    assert fitting(columns, rows, 80, ("oldest", "enqueued")) == (list(columns), rows)
    assert fitting(columns, rows, 40, ("oldest", "enqueued"))[1] == [["default", "1,234,567", "9,999,999", "5"]]
    assert fitting(columns, rows, 10, ("oldest", "enqueued"))[0] == ["queue", "normal", "per s"]


def test_health_names_what_is_missing(run: Run, client: Client) -> None:
    client.enqueue("math", {}, queue="slow")
    answer = run("health", "--json")
    assert answer.code == 0
    assert answer.json["status"] == "degraded"
    assert (answer.json["workers"], answer.json["scheduler"]) == (0, "missing")
    assert "queue 'slow' has jobs and no worker: start one with `gopherctl worker --queues slow`" in answer.err


def test_health_without_a_server_fails(run: Run) -> None:
    assert run("health", "--redis-url", "redis://127.0.0.1:1").code == 1


def test_health_is_healthy_with_a_worker_and_a_scheduler(run: Run, background: Background) -> None:
    background("worker", "--concurrency", "1")
    background("scheduler")
    # An installation without workers is healthy, but says so.
    wait_until(lambda: run("health").err == "", what="a worker")
    wait_until(lambda: run("health", "--json").json["status"] == "healthy", what="good health")


def test_without_workers_it_suggests_how_to_start_one(run: Run) -> None:
    answer = run("workers")
    assert answer.code == 0
    assert "gopherctl worker" in answer.err


def test_lists_types_and_the_fields_of_one(run: Run) -> None:
    names = [each["name"] for each in run("types", "--json").json["types"]]
    assert names == ["cleanup", "email", "image_resize", "math", "report"]
    told = run("types", "math").out
    assert "one of factorial, fibonacci, prime" in told
    assert "required" in told
    assert run("types", "nope").code == 2


def test_health_gives_up_early_when_the_server_hangs(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        run("health")
        start = time.monotonic() - began
        began = time.monotonic()
        assert run("health", "--redis-url", f"redis://127.0.0.1:{silent.getsockname()[1]}").code == 1
        # Half a second for an answer; the rest is the start of a process, as where nothing hangs.
        assert time.monotonic() - began < 3 + 4 * start


def test_health_of_a_worker_needs_a_file(run: Run) -> None:
    answer = run("health", "--worker")
    assert answer.code == 2
    assert "--health-file" in answer.err
