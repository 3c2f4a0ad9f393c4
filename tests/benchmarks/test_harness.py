"""The harness at its smallest: real servers, a real worker, and nothing to be installed."""

import json
import os
import re
import socket
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from gopher.cli.processes import gopherctl

from benchmarks import contenders, machine, parked
from benchmarks.__main__ import CONTENDERS, ITEMS, _measure, chosen, main
from benchmarks.contenders import Contender, LeftOut, prepare
from benchmarks.items import (
    Item,
    all_contenders,
    alone,
    asking,
    delaying,
    draining,
    interleaved,
    pictures,
    resting,
    sending,
    storing,
    waking,
)
from benchmarks.lab import Stuck, halt, lab
from benchmarks.results import Results
from benchmarks.server import starter, unpacked_jemalloc
from gopher.server.embedded import EmbeddedServer, find_server
from tests.helpers import wait_until

pytestmark = pytest.mark.deep

# The fewer are expected, the fewer have to be sent.
GOPHER = Contender("Gopher", "with_gopher.py", 30_000, bulk=True)
NOBODY = Contender("nobody", "no_such_driver.py", 1)
LIMIT = Contender("limit", "with_limit.py", 12_000, bulk=True, pictures=False)


@pytest.mark.parametrize("contender", [GOPHER, LIMIT], ids=lambda contender: contender.name)
@pytest.mark.parametrize("module", [sending, waking, storing], ids=lambda module: module.ITEM.name)
def test_an_item_has_a_value_for_each_of_its_figures(module, contender):
    [(who, found)] = module.ITEM.measure([contender], 0.2)
    assert who is contender
    assert found.keys() == {figure.name for figure in module.ITEM.figures}
    assert all(value > 0 for value in found.values()), found


def test_workers_are_measured_side_by_side_and_stopped_between_their_slices(monkeypatch):
    names, turn = [], draining._turn

    def stand_still(root):
        family = (root, *root.children(recursive=True))
        # A child that was just replaced after its 10,000 jobs is a zombie while the worker is stopped.
        return {process.status() for process in family} - {psutil.STATUS_ZOMBIE} == {psutil.STATUS_STOPPED}

    def look(made, root, count, seconds):
        names.append(made.contender.name)
        wait_until(lambda: stand_still(root), 60)
        return turn(made, root, count, seconds)

    monkeypatch.setattr(draining, "_turn", look)
    for contender, found in draining.ITEM.measure([GOPHER, LIMIT], 0.2):
        assert found.keys() == {"drain"}, (contender.name, found)
        assert found["drain"] > 0
    assert names[:4] == ["limit", "Gopher", "Gopher", "limit"]


def test_a_slice_in_which_all_jobs_finish_is_measured_anew(monkeypatch):
    let_go_on, late = draining.let_go_on, iter([True, False])

    def go_on(root):
        let_go_on(root)
        if next(late, False):
            wait_until(lambda: made.done() == made.sent)

    with lab(LIMIT) as made:
        made.send("noop", 100, "many")
        with made.worker() as root:
            made.wait_for(1)
            halt(root)
            monkeypatch.setattr(draining, "let_go_on", go_on)
            assert draining._turn(made, root, 20_000, 0.1) > 0
    assert made.sent > 100


def test_a_contender_that_fails_is_named_and_the_others_continue():
    turns = {"Gopher": iter([1.0, 2.0, 3.0]), "limit": iter([1.0])}

    @contextmanager
    def side(contender, seconds):
        if contender.name == "absent":
            raise Stuck("never came")
        yield lambda: {"figure": next(turns[contender.name])}

    found = {who.name: what for who, what in interleaved(side, 3)([LIMIT, GOPHER, Contender("absent", "", 1)], 1.0)}
    assert found.pop("Gopher") == {"figure": 2.0}
    assert {name: type(problem) for name, problem in found.items()} == {"limit": StopIteration, "absent": Stuck}


@pytest.mark.parametrize("module", [delaying, pictures, resting], ids=lambda module: module.ITEM.name)
def test_what_gopher_is_measured_by_alone(module, monkeypatch):
    monkeypatch.setattr(pictures, "TURNS", 2)
    found = module.measure(GOPHER, 0.2)
    assert found.keys() == {figure.name for figure in module.ITEM.figures}
    assert all(value >= 0 for value in found.values()), found


def test_the_api_and_an_empty_view_are_asked_alternately(monkeypatch):
    asked, ask = [], asking._rate
    monkeypatch.setattr(asking, "TURNS", 2)
    monkeypatch.setattr(
        asking, "_rate", lambda port, path, *more, **named: asked.append(path) or ask(port, path, *more, **named)
    )
    found = asking.measure(GOPHER, 1.0)
    assert found.keys() == {figure.name for figure in asking.ITEM.figures}
    assert all(value > 0 for value in found.values()), found
    turn = ["/empty", "/api/v1/jobs", "/api/v1/jobs/batch"]
    assert asked[-6:] == turn * 2


def test_a_worker_that_does_nothing_is_noticed():
    with lab(GOPHER) as made, pytest.raises(Stuck, match="did 0 of 1 jobs"):
        made.wait_for(1, 0.2)


def test_a_worker_that_has_died_on_the_way_is_named(monkeypatch):
    turn = draining._turn

    def die_first(made, root, count, seconds):
        for process in (root, *root.children(recursive=True)):
            process.kill()
        return turn(made, root, count, seconds)

    monkeypatch.setattr(draining, "_turn", die_first)
    monkeypatch.setattr(draining, "_PATIENCE", 0.5)
    [(_, found)] = draining.ITEM.measure([LIMIT], 0.2)
    assert "limit did" in str(found)
    assert "jobs in 0.5 s" in str(found)


def test_a_sender_that_has_died_is_named_with_what_it_said():
    said = pytest.raises(Stuck, match=r"(?s)nobody could not send 3 jobs.*No such file")
    with said, lab(NOBODY) as made, made.sender() as send:
        wait_until(lambda: "No such file" in made._said())
        send("noop", 3, "one")


def test_a_peer_that_cannot_be_installed_is_omitted(monkeypatch, tmp_path):
    monkeypatch.setattr(contenders, "CACHE", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(LeftOut, match="could not be installed"):
        prepare(Contender("nobody", "with_huey.py", 1, ("no-such-package-of-this-name",), "nobody"))


def test_an_item_that_fails_is_named_and_ends_nothing_else():
    results = Results({}, 1.0, 1)
    broken = alone(lambda contender, seconds: {"ratio": 1 / (seconds - 1)})
    _measure(Item("broken", (), all_contenders, broken), [GOPHER], results)
    assert results.problems == ["Gopher, broken: float division by zero"]


def test_only_names_items_and_contenders():
    items, who = chosen("drain, Huey")
    assert [item.name for item in items] == ["drain"]
    assert [each.name for each in who] == ["huey"]
    assert chosen("") == (list(ITEMS), list(CONTENDERS))
    with pytest.raises(SystemExit, match="speed is not among"):
        chosen("drain,speed")


def test_a_run_ends_with_a_table(monkeypatch, tmp_path, capsys):
    for name, value in {"ONLY": "store,gopher,limit", "SECONDS": "0.1", "ROUNDS": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(contenders, "CACHE", tmp_path)
    assert main() == 0
    assert "| waiting job (bytes) |" in capsys.readouterr().out
    # Measured once a run, whatever the rounds.
    assert len(json.loads((tmp_path / "results.json").read_text())["values"]["Gopher"]["waiting job"]) == 1


def test_a_library_is_loaded_before_the_server(tmp_path):
    # One that every glibc comes with, and that no server needs.
    path = starter(find_server(), "libBrokenLocale.so.1", tmp_path / "server")
    with EmbeddedServer(tmp_path / "data", program=path) as server:
        assert "libBrokenLocale" in Path(f"/proc/{server.pid}/maps").read_text()
    assert starter(find_server(), str(tmp_path / "none.so"), tmp_path / "server") == find_server()


def test_without_debians_tools_there_is_no_jemalloc_to_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unpacked_jemalloc(tmp_path / "jemalloc") is None


def test_the_machine_is_told_without_its_name():
    about = machine.describe()
    assert socket.gethostname() not in " ".join(about.values())
    assert {"cores", "Python", "server"} <= about.keys()


def test_gopherctl_bench_measures_and_leaves_nothing_behind(redis_url, namespace):
    import subprocess

    from redis import Redis

    environ = {**os.environ, "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "WORKER_CONCURRENCY": "2"}
    command = gopherctl("bench", "--json", "--jobs", "1000")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.pop("children") == 2
    assert all(value > 0 for value in figures.values()), figures
    with Redis(unix_socket_path=redis_url.removeprefix("unix://")) as server:
        assert not list(server.scan_iter(match=f"{namespace}*"))


def test_what_throttled_jobs_cost_the_others_is_measured(monkeypatch, capsys):
    monkeypatch.setenv("MANY", "300")
    monkeypatch.setenv("ROUNDS", "2")
    assert parked.main() == 0
    store, fetch = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"store: \d+ us with 100, \d+ us with 300 others: \d+\.\d\d x", store)
    assert re.fullmatch(r"fetch: \d+ us with 100, \d+ us with 300 others: \d+\.\d\d x", fetch)
