"""The faults, caused at any size: the short form and `make chaos` run the same functions.

Each returns a `Report`: one row of the table.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.audit import Audit, audit
from tests.faults.kinds import KINDS
from tests.faults.lab import QUEUE, System, alive, freeze, kill, recovery, rests, thaw
from tests.faults.ledger import counts
from tests.faults.load import Load
from tests.helpers import wait_until
from tests.worker.processes import Process


@dataclass
class Report:
    """What one storm did, and what was seen."""

    name: str
    faults: int = 0
    audit: Audit = field(default_factory=Audit)
    #: Results of zombies that were refused.
    refused: int = 0
    #: Seconds, one for each fault that something had to recover from.
    recoveries: list[float] = field(default_factory=list)
    #: What must not be; empty when all is well.
    wrong: list[str] = field(default_factory=list)
    notes: str = ""

    @property
    def sound(self) -> bool:
        return self.audit.sound and not self.wrong

    def expect(self, held: object, otherwise: str) -> None:
        if not held:
            self.wrong.append(otherwise)


def close(report: Report, system: System, load: Load) -> Report:
    """Hold everything that was acknowledged against ledger, states, invariants and the API's own words."""
    report.audit = system.audit(load.accepted)
    report.expect(len(load.accepted) == load.count, f"{load.count - len(load.accepted)} submissions were not accepted")
    report.expect(not load.strange, f"the API answered {load.strange[:3]}")
    report.expect(not load.lies, f'the API said "nothing was stored" of what was: {load.lies[:3]}')
    report.expect(not (set(load.answers) - {201, 503}), f"the API answered {dict(load.answers)}")
    report.wrong += system.findings()
    report.notes += f"answers {dict(sorted(load.answers.items()))}, connections broken {load.broken}"
    return report


# Kills


def kill_storm(system: System, *, jobs: int, kills: int, seconds: float = 0.02, settle: float) -> Report:
    """Kill processes of all kinds while jobs come in and run; everything ends within `settle` s of the last kill."""
    report, killed = Report("kill -9 of processes"), Counter[str]()
    kinds = ["supervisor", "child", "API worker", "scheduler"]
    plan = [kinds[at % len(kinds)] for at in range(kills)]
    system.random.shuffle(plan)
    with Load(system.address, jobs, payload={"seconds": seconds}, threads=4) as load:
        for at, kind in enumerate(plan):
            wait_until(
                lambda at=at: load.done or len(load.accepted) >= jobs * (at + 0.5) / kills, 120, "jobs to come in"
            )
            time.sleep(system.random.uniform(0, 0.1))
            killed[kind] += KILLERS[kind](system)
        last = time.monotonic()
    wait_until(lambda: not system.unfinished(load.ids), 120, "all jobs to end")
    report.recoveries.append(time.monotonic() - last)
    report.faults = sum(killed.values())
    close(report, system, load)
    # Of each of a supervisor's four children one job that runs, and one whose outcome the server has not confirmed.
    allowed = 8 * killed["supervisor"] + killed["child"]
    report.expect(len(report.audit.twice) <= allowed, f"{len(report.audit.twice)} jobs ran twice, allowed: {allowed}")
    report.expect(
        report.recoveries[-1] <= settle, f"the last job ended {report.recoveries[-1]:.1f} s after the last kill"
    )
    report.notes += "; " + ", ".join(f"{count} {kind}" for kind, count in sorted(killed.items()))
    return report


def _kill_supervisor(system: System) -> bool:
    victim = system.random.choice(system.workers)
    gone = kill(victim.pid)
    system.restart_worker(victim)
    return gone


def _kill_scheduler(system: System) -> bool:
    victim = system.random.choice(system.schedulers)
    gone = kill(victim.pid)
    system.restart_scheduler(victim)
    return gone


def _kill_child(system: System) -> bool:
    return _kill_one_of(system, system.children, "a child")


def _kill_api_worker(system: System) -> bool:
    return _kill_one_of(system, system.api_workers, "a process of the API")


def _kill_one_of(system: System, pids: Callable[[], list[int]], what: str) -> bool:
    # One may have ended since it was listed.
    return wait_until(lambda: (found := pids()) and kill(system.random.choice(found)), 60, f"{what} to be killed")


KILLERS: dict[str, Callable[[System], bool]] = {
    "supervisor": _kill_supervisor,
    "child": _kill_child,
    "API worker": _kill_api_worker,
    "scheduler": _kill_scheduler,
}


# The server


def server_restarts(system: System, *, jobs: int, times: int, seconds: float = 0.02) -> Report:
    """Stop the server and kill it, by turns, while jobs come in and run; it is away for a moment each time."""
    report = Report("restarts and kill -9 of the server")
    with Load(system.address, jobs, payload={"seconds": seconds}, threads=4) as load:
        for at in range(2 * times):
            wait_until(
                lambda at=at: load.done or len(load.accepted) >= jobs * (at + 0.5) / (2 * times), 120, "jobs to come in"
            )
            if at % 2:
                system.server.kill()
            else:
                system.server.stop()
            time.sleep(system.random.uniform(0.2, 1.0))
            system.server.start()
            before = len(counts(system.events(), "end"))
            report.recoveries.append(
                recovery(lambda before=before: len(counts(system.events(), "end")) > before, 30, "a job to end again")
            )
    system.wait(load.ids, 120)
    report.faults = 2 * times
    close(report, system, load)
    report.expect(not report.audit.twice, f"{len(report.audit.twice)} jobs ran twice")
    report.expect(max(report.recoveries) <= 5, f"workers were busy again only after {max(report.recoveries):.1f} s")
    return report


def full_memory(system: System, *, megabytes: int) -> Report:
    """Fill the server to its limit: it takes no more, lets go of what is there, and takes again.

    Four jobs run meanwhile, and end when it is full. Records go soon after their jobs, as they must to make room.
    """
    report, redis = Report("full memory", faults=1), system.client.server.client
    runs = [system.client.enqueue("faults.linger", {"until": str(system.folder / "full")}) for _ in range(4)]
    wait_until(lambda: len({entry.job_id for entry in system.events()} & set(runs)) == 4, 60, "jobs to run")
    system.client.flow.pause_queue(QUEUE)
    rescued = system.totals("rescued")
    redis.config_set("maxmemory", f"{megabytes}mb")
    try:
        accepted = _fill(system, report)
        (system.folder / "full").touch()
        system.wait(runs, 60)
        system.client.flow.resume_queue(QUEUE)
        ends = recovery(lambda: _ended(system) >= set(accepted), 120, "the queue to drain")
        report.recoveries.append(recovery(lambda: _accepts(system), 30, "jobs to be taken again"))
    finally:
        redis.config_set("maxmemory", "0")
    for state in ("pending", "processing"):
        wait_until(
            lambda state=state: not system.client.jobs(queue=QUEUE, status=state).jobs, 60, "the last job to end"
        )
    done = _ended(system)
    report.audit = audit([("-", job_id) for job_id in accepted], dict.fromkeys(done, "completed"), system.events())
    report.notes = f"{len(accepted)} jobs fitted, drained in {ends:.1f} s"
    report.expect(system.totals("rescued") == rescued, "jobs were rescued, although nobody died")
    report.expect(not report.audit.twice, f"{len(report.audit.twice)} jobs ran twice")
    report.expect(report.recoveries[0] <= 5, f"recovered only after {report.recoveries[0]:.1f} s")
    report.wrong += system.findings()
    return report


def _fill(system: System, report: Report) -> list[str]:
    """Submit large jobs until ten in a row are refused; return the ids of those that were taken."""
    accepted, refused = [], 0
    with httpx.Client(base_url=system.address, timeout=20) as http:
        while refused < 10:
            answer = _post(http, "x" * 50_000)
            if answer.status_code == 201:
                accepted.append(answer.json()["job_id"])
                refused = 0
                continue
            refused += 1
            code = answer.json().get("code")
            report.expect((answer.status_code, code) == (503, "queue_full"), f"answered {answer.status_code} {code}")
    return accepted


def _accepts(system: System) -> bool:
    with httpx.Client(base_url=system.address, timeout=20) as http:
        return _post(http, "x" * 50_000).status_code == 201


def _post(http: httpx.Client, text: str) -> httpx.Response:
    return http.post("/api/v1/jobs", json={"type": "faults.work", "payload": {"text": text}, "retention": "1s"})


def _ended(system: System) -> set[str]:
    return {entry.job_id for entry in system.events() if entry.event == "end"}


# Lost replies


def lost_replies(system: System, *, jobs: int, probability: float = 0.1, seconds: float = 0.0) -> Report:
    """Lose replies of the server together with their connections, a share of all that it gives to anybody."""
    assert system.proxy
    report, before = Report(f"{probability:.0%} of all replies dropped"), system.proxy.done("drop")
    system.proxy.mode("drop", probability=probability)
    try:
        with Load(system.address, jobs, payload={"seconds": seconds}, threads=4) as load:
            pass
        system.wait(load.ids, 60 + jobs / 50)
    finally:
        system.proxy.mode("pass")
    report.faults = system.proxy.done("drop") - before
    close(report, system, load)
    report.expect(not report.audit.twice, f"{len(report.audit.twice)} jobs ran twice")
    return report


# Zombies


def zombies(system: System, *, rounds: int, lease: float) -> Report:
    """Freeze a worker with jobs past its lease; when it wakes, others have done them, and it is told so.

    Of its jobs, all but one end just as it wakes, so that there are results to refuse; the last one runs on, and
    its child has to be killed.
    """
    report, stale, expected = Report("zombies", faults=rounds), system.totals("stale"), 0
    ids: list[str] = []
    for number in range(rounds):
        jobs, results, death = _zombie_round(system, system.workers[number % len(system.workers)])
        ids += jobs
        expected += results
        report.recoveries.append(death)
    wait_until(lambda: system.totals("stale") >= stale + expected, 60, "results to be refused")
    report.refused = system.totals("stale") - stale
    report.audit = system.audit([("-", job_id) for job_id in ids])
    report.wrong += system.findings()
    report.expect(report.refused == expected, f"{report.refused} results were refused, expected {expected}")
    # Left alone, a zombie's child would never end: six seconds more are for a busy machine.
    limit = lease / 6 + 6.0
    report.expect(max(report.recoveries) <= limit, f"a zombie's child lived on for {max(report.recoveries):.2f} s")
    report.notes = "recovery: until the zombie's child is dead"
    return report


def _zombie_round(system: System, worker: Process) -> tuple[list[str], int, float]:
    """Return the jobs of a round, how many results are to be refused, how long the last child lived on (s)."""
    folder = system.folder / f"wake-{time.monotonic_ns()}"
    folder.mkdir()
    wait_until(system.complete, 60, "all workers")
    # A worker's record may still list a child that was killed in the round before.
    wait_until(lambda: all(len(one.children()) == system.concurrency for one in system.workers), 60, "all children")
    count = len(system.children())
    ids = [system.client.enqueue("faults.linger", {"until": str(folder / str(at))}) for at in range(count)]
    wait_until(lambda: len(_who_runs(system, ids)) == count, 60, "all children to run a job")
    supervisor, children = freeze(worker)
    runs = _who_runs(system, ids)
    theirs = [job_id for job_id in ids if runs[job_id] in children]
    for at, job_id in enumerate(ids):
        if job_id not in theirs:
            (folder / str(at)).touch()
    system.wait(ids, 60)
    *short, long = theirs
    for job_id in short:
        (folder / str(ids.index(job_id))).touch()
    thaw([runs[job_id] for job_id in short])
    wait_until(lambda: _first_ends(system) >= set(short), 60, "the zombies' jobs to end")
    # Each has sent its result once it waits for another job.
    wait_until(lambda: all(rests(runs[job_id]) for job_id in short), 60, "the results to be sent")
    thaw([runs[long], supervisor])
    death = recovery(lambda: not alive(runs[long]), 10, "the zombie's child to die")
    return ids, len(short), death


def _who_runs(system: System, ids: list[str]) -> dict[str, int]:
    """Return the pid of the child that ran the first attempt of each job."""
    wanted = set(ids)
    return {
        entry.job_id: entry.pid
        for entry in system.events()
        if entry.job_id in wanted and (entry.attempt, entry.event) == (1, "start")
    }


def _first_ends(system: System) -> set[str]:
    return {entry.job_id for entry in system.events() if (entry.attempt, entry.event) == (1, "end")}


# Handlers


def monsters(system: System, *, each: int, honest: int, seconds: float = 0.0) -> Report:
    """Run every kind of monster beside honest jobs: each ends with its reason, and honest jobs go on."""
    report = Report("monsters", faults=each * len(KINDS))
    client, supervisors = system.client, [worker.pid for worker in system.workers]
    alone = _honest(system, honest, seconds)
    began = time.monotonic()
    names = [name for _ in range(each) for name in KINDS]
    plan: list[str | None] = [*names, *[None] * honest]
    system.random.shuffle(plan)
    ids = client.enqueue_many(_nap(seconds) if name is None else KINDS[name].submission() for name in plan)
    good = [job_id for name, job_id in zip(plan, ids, strict=True) if name is None]
    bad = [(name, job_id) for name, job_id in zip(plan, ids, strict=True) if name is not None]
    system.wait(good, 120)
    beside = time.monotonic() - began
    system.wait([job_id for _, job_id in bad], 120)
    report.audit = system.audit([("-", job_id) for job_id in ids], ours=False)
    right = sum(KINDS[name].fits(client.job(job_id)) for name, job_id in bad)
    for name, job_id in bad:
        report.expect(KINDS[name].fits(client.job(job_id)), f"{name}: {KINDS[name].told(client.job(job_id))}")
    report.expect([worker.pid for worker in system.workers if worker.running] == supervisors, "a supervisor died")
    wait_until(lambda: all(_only_children(worker) for worker in system.workers), 60, "what was left behind to be gone")
    report.notes = (
        f"{right} of {len(bad)} reasons right; honest throughput {alone / beside:.0%} of that without monsters"
    )
    report.wrong += system.findings()
    return report


def _honest(system: System, honest: int, seconds: float) -> float:
    """Return how long honest jobs take without monsters (s)."""
    began = time.monotonic()
    ids = system.client.enqueue_many([_nap(seconds)] * honest)
    system.wait(ids, 120)
    return time.monotonic() - began


def _nap(seconds: float) -> dict[str, Any]:
    return {"type": "nap", "payload": {"seconds": seconds}}


def _only_children(worker: Process) -> bool:
    return worker.session() == [worker.pid, *worker.children()]


def timeouts(
    system: System,
    *,
    count: int,
    away: float = 0.0,
    seconds: float = 2.0,
    grace: float = 0.3,
    slack: float = 0.5,
) -> Report:
    """Let jobs run into their timeouts in three ways; with `away`, the server is killed for so long meanwhile.

    What counts is when the handler was stopped or its child was dead, by the clocks of handler and laboratory. A busy
    machine may take `slack` seconds more.
    """
    report = Report("timeouts" + (" while the server is away" if away else ""), faults=count)
    hows = ["polite", "deaf", "in C"]
    ids = [
        system.client.enqueue("faults.hang", {"how": hows[at % 3]}, timeout=f"{seconds}s", max_retries=0)
        for at in range(count)
    ]
    watch = Watch(system, set(ids))
    if away:
        wait_until(lambda: watch.look() or len(watch.begun) >= min(count, len(system.children())), 60, "jobs to run")
        system.server.kill()
        wait_until(
            lambda: watch.look() or len(watch.lived) >= min(count, len(watch.begun)), away, "children to be dead"
        )
        system.server.start()
    wait_until(lambda: watch.look() or len(watch.lived) == count, 60 + count * seconds, "all to be over")
    system.wait(ids, 30)
    report.audit = system.audit([("-", job_id) for job_id in ids])
    report.recoveries = [lived - seconds for lived in watch.lived.values()]
    late = max(watch.lived.values())
    limit = seconds + grace + slack
    report.expect(late <= limit, f"a job lived for {late:.2f} s, allowed: {limit:.2f} s")
    report.expect(report.audit.dead == count, f"{report.audit.dead} of {count} jobs are dead letters")
    report.expect(not report.audit.twice, f"{len(report.audit.twice)} jobs ran twice")
    report.notes = "recovery: how long a job lived beyond its timeout"
    report.wrong += system.findings()
    return report


class Watch:
    """Sees when children die that run certain jobs."""

    def __init__(self, system: System, ids: set[str]) -> None:
        self._system, self._ids = system, ids
        self.begun: dict[str, tuple[int, float]] = {}
        #: Seconds from the start of each job to its end.
        self.lived: dict[str, float] = {}

    def look(self) -> None:
        now = time.monotonic()
        for entry in self._system.events():
            if entry.job_id not in self._ids or entry.job_id in self.lived:
                continue
            if entry.event == "start":
                self.begun.setdefault(entry.job_id, (entry.pid, entry.at))
            elif entry.event == "stopped":
                self.lived[entry.job_id] = entry.at - self.begun[entry.job_id][1]
        for job_id, (pid, at) in self.begun.items():
            if job_id not in self.lived and not alive(pid):
                self.lived[job_id] = now - at
