"""How much memory waiting jobs, records of finished jobs, owners, schedules and workers take."""

from collections.abc import Callable
from functools import partial

import msgspec

from benchmarks.contenders import CONTENDERS
from benchmarks.fleet import Fleet
from benchmarks.lab import lab
from gopher.config.settings import Settings
from gopher.jobs.owners import owned_by
from gopher.jobs.registry import Registry
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.bounds import Bounds

from .bench import Bench, job, payload

COUNT = 10_000
_FEW = 1000
_SMALL, _LARGE = 0.1, 0.6


def measure() -> dict[str, float]:
    """Return the bytes by what is stored. Each is measured on a new server, where nothing else is."""
    waiting, larger = (_grown(partial(_wait, kilobytes), COUNT) for kilobytes in (_SMALL, _LARGE))
    finished, longer = (_grown(partial(_finish, kilobytes), COUNT) for kilobytes in (_SMALL, _LARGE))
    waiting_kb, finished_kb = (larger - waiting) / (_LARGE - _SMALL), (longer - finished) / (_LARGE - _SMALL)
    return {
        "waiting": waiting - _SMALL * waiting_kb,
        "waiting KB": waiting_kb,
        "finished": finished - _SMALL * finished_kb,
        "finished KB": finished_kb,
        "delayed": _grown(lambda bench: bench.submit(_SMALL, 500, COUNT, due="+99999999"), COUNT) - waiting,
        "owner": _grown(_owned, _FEW) - waiting,
        "schedule": _grown(_schedules, _FEW),
        "worker": _workers(200),
    }


def _grown(store: Callable[[Bench], None], count: int) -> float:
    """Return the bytes for each of the things that are stored."""
    with lab(CONTENDERS[0]) as made:
        bench = Bench(made)
        before = bench.memory()
        store(bench)
        return (bench.memory() - before) / count


def _wait(kilobytes: float, bench: Bench) -> None:
    bench.submit(kilobytes, 500, COUNT)


def _finish(kilobytes: float, bench: Bench) -> None:
    bench.submit(kilobytes, 500, COUNT)
    bench.settle()


def _owned(bench: Bench) -> None:
    """Add owners with an API key and a job each."""
    for number in range(_FEW):
        owner = f"tenant-{number:06}"
        bench.client.keys.create(owner)
        bounds = Bounds("all", "", owner, "1000")
        bench.run(bench.queue.enqueue(owned_by([job(0.1)], owner), bounds=bounds))


def _schedules(bench: Bench) -> None:
    spec = ScheduleSpec(cron_expression="0 0 1 1 *", type="noop", payload=msgspec.Raw(payload(0.1)))
    for number in range(_FEW):
        bench.client.schedules.put(f"schedule-{number}", spec)


def _workers(count: int) -> float:
    with lab(CONTENDERS[0]) as made:
        before = made.used_memory()
        with Fleet(Settings(redis_url=made.url, worker_concurrency=2), count, Registry()) as fleet:
            fleet.run(3.0)
            return (made.used_memory() - before) / count
