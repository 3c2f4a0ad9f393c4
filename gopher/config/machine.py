"""What this machine, or the container on it, has to share: cores and memory."""

import os
from pathlib import Path

#: Memory that a child is expected to need if it has no limit.
CHILD_MEMORY = 256 * 2**20
_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the number of cores that this process may use: its affinity, and the container's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _smallest("", "cpu.max") or _smallest("cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    quota, _, period = limit.partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        usable = min(usable, -(-int(quota) // int(period)))
    return max(1, usable)


def memory() -> int:
    """Return the memory of the machine, or the limit of the container, in bytes."""
    # Settings are read by clients too, which need none of it.
    import psutil

    limit = _smallest("", "memory.max") or _smallest("memory", "memory.limit_in_bytes")
    total: int = psutil.virtual_memory().total
    return min(total, int(limit)) if limit.isdigit() else total


def available_memory() -> int:
    """Return the bytes that processes can still use: of the machine, and within the limits of the container."""
    import psutil

    return max(min(int(psutil.virtual_memory().available), memory() - memory_in_use()), 0)


def memory_in_use() -> int:
    """Return the memory in use, of the machine or the container, in bytes: without what the kernel can drop."""
    import psutil

    whole = psutil.virtual_memory()
    used = _group_in_use() if memory() < whole.total else None
    return int(whole.total - whole.available) if used is None else used


def oom_kills() -> int:
    """Return the number of processes that were killed for lack of memory, in this container or on the machine."""
    files = [folder / "memory.events" for folder in _folders("")]
    files += [folder / "memory.oom_control" for folder in _folders("memory")]
    for path in (*files, Path("/proc/vmstat")):
        kills = _field(path, "oom_kill")
        if kills is not None:
            return kills
    return 0


def _group_in_use() -> int | None:
    """Return what the control group with the smallest limit has in use, None if no group has a limit."""
    for controller, limit, usage, prefix in (
        ("", "memory.max", "memory.current", ""),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        limited = [folder for folder in _folders(controller) if _text(folder / limit).isdigit()]
        if not limited:
            continue
        folder = min(limited, key=lambda each: int(_text(each / limit)))
        used = _text(folder / usage)
        if used.isdigit():
            files = (_field(folder / "memory.stat", f"{prefix}{name}_file") or 0 for name in ("inactive", "active"))
            return max(int(used) - sum(files), 0)
    return None


def _field(path: Path, name: str) -> int | None:
    """Return a number of a file with lines such as `oom_kill 3`."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None


def children(each: int | None = None, limit: int | None = None) -> int:
    """Return the number of children that fit: one per core, if there are `each` bytes for every one of them.

    All of them may use `limit` bytes together, if that is set.
    """
    return max(1, min(cores(), min(memory(), limit or memory()) // (each or CHILD_MEMORY)))


def child_memory(limit: int | None, children: int) -> int | None:
    """Return the bytes that each child may use; a limit of 0 shares the memory out, None is no limit."""
    return memory() // children if limit == 0 else limit


def _smallest(controller: str, *names: str) -> str:
    """Return the smallest setting of this process's control groups, "" if there is none.

    A setting may be in two files. Without a controller, the groups are those of version 2; some platforms still use
    version 1, with groups for each controller.
    """
    limits = [" ".join(_text(folder / name) for name in names).strip() for folder in _folders(controller)]
    return min((text for text in limits if text[:1].isdigit()), key=_size, default="")


def _folders(controller: str) -> list[Path]:
    """Return the folders of this process's control group and of those around it, the innermost first."""
    top = _CGROUP / controller
    own = top / _own_group(controller)
    return [folder for folder in (own, *own.parents) if folder.is_relative_to(top)]


def _own_group(controller: str) -> str:
    """Return this process's group. A container may name it as outside of it, and have its settings at the top."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.strip("/")
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _size(text: str) -> float:
    quota, _, period = text.partition(" ")
    return int(quota) / int(period or 1)
