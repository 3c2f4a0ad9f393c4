"""What a machine, or a container on it, has to share."""

import os

import psutil
import pytest

from gopher.config import machine
from gopher.config.settings import Settings


@pytest.fixture
def container(tmp_path, monkeypatch):
    """Pretend to be in control groups with such settings, the innermost last."""

    def settings(*groups):
        folder = tmp_path
        for each in groups:
            folder = folder / "sub"
            folder.mkdir()
            for name, text in each.items():
                (folder / name).write_text(f"{text}\n")
        monkeypatch.setattr(machine, "_CGROUP", tmp_path)
        monkeypatch.setattr(machine, "_own_group", lambda controller: str(folder.relative_to(tmp_path)))

    return settings


def test_without_a_limit_it_is_the_whole_machine(container):
    container({"cpu.max": "max 100000", "memory.max": "max"})
    assert machine.cores() == len(os.sched_getaffinity(0))
    assert machine.memory() == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("groups", "cores", "memory"),
    [
        ([{"cpu.max": "100000 100000", "memory.max": 2**29}], 1, 2**29),
        ([{"cpu.max": "50000 100000", "memory.max": 2**28}], 1, 2**28),
        ([{"cpu.max": "100000 100000", "memory.max": 2**28}, {"cpu.max": "max 100000", "memory.max": "max"}], 1, 2**28),
        ([{"memory.max": 2**30}, {"memory.max": 2**28}], len(os.sched_getaffinity(0)), 2**28),
    ],
)
def test_the_narrowest_limit_of_a_container_counts(container, groups, cores, memory):
    container(*groups)
    assert (machine.cores(), machine.memory()) == (cores, memory)


def test_auto_is_a_child_for_each_core_that_has_memory(container):
    container({"memory.max": 300 * 2**20})
    assert machine.children() == 1
    assert machine.children(10 * 2**20) == len(os.sched_getaffinity(0))
    assert Settings.from_env({"WORKER_CONCURRENCY": "auto"}).worker_concurrency == 1
    assert Settings.from_env({"WORKER_CONCURRENCY": "7"}).worker_concurrency == 7
    limited = {"WORKER_CONCURRENCY": "auto", "WORKER_MAX_MEMORY_PER_CHILD": "64MiB"}
    assert Settings.from_env(limited).worker_concurrency == min(4, len(os.sched_getaffinity(0)))


def test_auto_is_no_more_children_than_fit_into_the_memory_of_a_worker(container, monkeypatch):
    container({"memory.max": "max"})
    monkeypatch.setattr(machine, "cores", lambda: 64)
    monkeypatch.setattr(machine, "memory", lambda: 64 * 2**30)
    for memory, children in (("auto", 64), ("off", 64), ("1GiB", 4), ("100MiB", 1), ("999GiB", 64)):
        environ = {"WORKER_CONCURRENCY": "auto", "WORKER_MEMORY": memory}
        assert Settings.from_env(environ).worker_concurrency == children


@pytest.mark.parametrize("group", ["", "outer", "outer/own", "not/seen/in/the/container"])
def test_the_first_version_of_control_groups_counts_too(tmp_path, monkeypatch, group):
    """A process may be in a group below that with the limits, or in one that its container does not show."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_own_group", lambda controller: group if controller else "")
    limited = group.partition("/")[0] if group.startswith("outer") else ""
    for folder, memory, quota in ((limited, 2**28, 100_000), ("outer/own", 2**63 - 4096, -1)):
        for name, text in {
            "memory/{}/memory.limit_in_bytes": memory,
            "cpu/{}/cpu.cfs_quota_us": quota,
            "cpu/{}/cpu.cfs_period_us": 100_000,
        }.items():
            path = tmp_path / name.format(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    assert (machine.cores(), machine.memory()) == (1, 2**28)


def test_the_group_of_a_process_is_that_of_the_controller(monkeypatch):
    monkeypatch.setattr(machine, "_text", lambda path: "4:memory:/own\n3:cpu,cpuacct:/\n0::/second/version")
    assert [machine._own_group(each) for each in ("memory", "cpu", "", "pids")] == ["own", "", "second/version", ""]


def test_what_the_kernel_can_drop_is_not_in_use(container):
    container(
        {"memory.max": 2**29, "memory.current": 2**28, "memory.stat": "anon 5\ninactive_file 1000\nactive_file 24"}
    )
    assert machine.memory_in_use() == 2**28 - 1024


def test_the_limited_group_of_a_nested_one_is_looked_at(container):
    limited = {"memory.max": 2**29, "memory.current": 2**28, "memory.stat": "inactive_file 0"}
    container(limited, {"memory.max": "max", "memory.current": 2**20, "memory.stat": "inactive_file 0"})
    assert machine.memory_in_use() == 2**28


def test_without_a_limit_the_machine_is_looked_at(container):
    container({"memory.max": "max", "memory.current": 1})
    assert machine.memory_in_use() > 2**20


def test_the_first_version_counts_what_is_in_use_too(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_own_group", lambda controller: "own" if controller else "")
    group = tmp_path / "memory" / "own"
    group.mkdir(parents=True)
    for name, text in {
        "memory.limit_in_bytes": 2**29,
        "memory.usage_in_bytes": 2**28,
        "memory.stat": "inactive_file 7\ntotal_inactive_file 1000\ntotal_active_file 24",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
    }.items():
        (group / name).write_text(f"{text}\n")
    assert machine.memory_in_use() == 2**28 - 1024
    assert machine.oom_kills() == 3
    (tmp_path / "memory.events").write_text("low 0\noom 5\noom_kill 4\n")
    assert machine.oom_kills() == 4
