"""Compares what was acknowledged with what the handlers did and with how each job stands in the end.

A program of its own, `python -m tests.faults.audit <folder>`, that imports nothing of Gopher. The folder holds
`accepted`: a line `<number> <job id>` for each 201; `states`: a line `<job id> <state>`; and `ledger`.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.ledger import Entry, counts, read

FINAL = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass
class Audit:
    """What was found. Lists hold job ids; all but `twice` must be empty."""

    accepted: int = 0
    completed: int = 0
    dead: int = 0
    #: Acknowledged, and nothing is known of it.
    lost: list[str] = field(default_factory=list)
    #: Acknowledged, and not ended.
    unfinished: list[str] = field(default_factory=list)
    #: Completed, and no handler ever came to its end.
    invented: list[str] = field(default_factory=list)
    #: Two jobs were made of one submission.
    doubled: list[str] = field(default_factory=list)
    #: Begun by more than one attempt: allowed where a process was killed, and counted.
    twice: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.unfinished or self.invented or self.doubled)

    def __str__(self) -> str:
        names = ("lost", "unfinished", "invented", "doubled", "twice")
        found = " ".join(f"{name}={len(getattr(self, name))}" for name in names)
        return f"accepted={self.accepted} completed={self.completed} dead={self.dead} {found}"


def audit(
    accepted: Sequence[tuple[str, str]], states: Mapping[str, str | None], ledger: Sequence[Entry], *, ours: bool = True
) -> Audit:
    """Compare. `accepted` has (number, id) pairs; `ours`: the handlers of this laboratory ran, which note what they do.

    Events of the ledger that are of other jobs are left out.
    """
    ids = {job_id for _, job_id in accepted}
    starts, ends = counts(ledger, "start"), counts(ledger, "end")
    found = Audit(accepted=len(accepted))
    for job_id in sorted(ids):
        state = states.get(job_id)
        if state is None:
            found.lost.append(job_id)
        elif state not in FINAL:
            found.unfinished.append(job_id)
        found.completed += state == "completed"
        found.dead += state == "failed"
        if ours and state == "completed" and not ends[job_id]:
            found.invented.append(job_id)
        if starts[job_id] > 1:
            found.twice.append(job_id)
    found.doubled = _doubled(accepted, ledger)
    return found


def _doubled(accepted: Sequence[tuple[str, str]], ledger: Sequence[Entry]) -> list[str]:
    """Return ids that stand for a submission which another id stands for too, whoever was told of them."""
    first: dict[str, str] = {}
    doubled = []
    pairs = [*accepted, *((entry.number, entry.job_id) for entry in ledger)]
    for number, job_id in pairs:
        if number != "-" and first.setdefault(number, job_id) != job_id:
            doubled.append(job_id)
    return sorted(set(doubled))


def save(folder: Path, accepted: Sequence[tuple[str, str]], states: Mapping[str, str | None]) -> None:
    """Write what `main` reads, beside the ledger."""
    (folder / "accepted").write_text("".join(f"{number} {job_id}\n" for number, job_id in accepted))
    (folder / "states").write_text("".join(f"{job_id} {state}\n" for job_id, state in states.items() if state))


def main(folder: Path) -> int:
    accepted = [tuple(line.split(" ")) for line in (folder / "accepted").read_text().splitlines()]
    states = dict(line.split(" ") for line in (folder / "states").read_text().splitlines())
    found = audit(accepted, states, read(folder / "ledger"))
    print(found)  # noqa: T201 - a program
    return 0 if found.sound else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
