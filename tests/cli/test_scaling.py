"""`capacity` and `scale`: how many workers the jobs need, and what to run."""

import msgspec

from gopher.base.times import from_rfc3339, to_rfc3339
from gopher.client import Client
from gopher.jobs.models import ChildView, WorkerState, WorkerView
from gopher.queue.presence import show_worker

from .conftest import Run

_NOW = "2026-01-01T00:00:00Z"


def _show(
    client: Client, name: str, process: str = "", state: WorkerState = "running", child: ChildView | None = None
) -> None:
    children = [child or ChildView(1, 0, 0)]
    view = WorkerView(name, "here", 1, "1", ["default"], [], children, 0, 0, _NOW, _NOW, process=process, state=state)
    for command in show_worker(client.server.keys, name, msgspec.json.encode(view), client.inspector.now(), 60.0):
        client.server.client.execute_command(*command.words)


def test_capacity_says_how_many_are_needed_and_why(run: Run, client: Client) -> None:
    assert "no jobs that need any" in run("capacity").err
    for _ in range(400):
        client.enqueue("email", {})
    shown = run("capacity", "--within", "30s")
    assert shown.out.splitlines()[1].split()[:3] == ["worker", "default", "400"]
    assert "400 jobs wait" in shown.err
    assert run("capacity", "--json").json["groups"][0]["waiting"] == 400
    assert "nothing is known of any hour yet" in run("capacity", "--hours").err
    assert run("capacity", "--within", "soon").code == 2


def test_scale_prints_what_to_run_and_lets_dynos_finish_before_they_are_stopped(run: Run, client: Client) -> None:
    client.enqueue("email", {})
    assert run("scale", "--on", "kubernetes").out == "kubectl scale deployment/gopher-worker --replicas=1\n"
    assert "--scale worker=1" in run("scale", "--on", "compose").out
    for number in (1, 2, 3):
        _show(client, f"dyno-{number}", f"worker.{number}")
    answer = run("scale")
    assert answer.out.splitlines() == ["gopherctl quiet dyno-2", "gopherctl quiet dyno-3", "heroku ps:scale worker=1"]
    assert "wait until worker.3 runs no jobs (now 0)" in answer.err
    (change,) = run("scale", "--json").json["changes"]
    assert (change["workers"], change["scale_to"]) == (3, 1)


def test_scale_stops_dynos_whose_workers_are_quiet_only_when_they_have_finished(run: Run, client: Client) -> None:
    client.enqueue("email", {})
    _show(client, "dyno-1", "worker.1")
    for number in (2, 3):
        _show(client, f"dyno-{number}", f"worker.{number}", "quiet")
    now = client.health().timestamp
    busy = ChildView(1, 0, 0, "01a20d1c-ddd6-7e46-9daa-2af634a7f173", "video", to_rfc3339(from_rfc3339(now) - 300_000))
    _show(client, "dyno-4", "worker.4", "quiet", busy)
    answer = run("scale")
    assert answer.out == ""
    assert "1 are enough, but worker.4 runs a job that takes longer" in answer.err
    _show(client, "dyno-4", "worker.4", "quiet")
    answer = run("scale")
    # They are quiet already.
    assert answer.out == "heroku ps:scale worker=1\n"
    assert "wait until worker.4 runs no jobs (now 0)" in answer.err
