"""The jobs of the demo, and their expected results.

A check inspects the finished job as the API shows it, and its effects: it opens the picture or reads the mail. It
returns a note about the result, and raises `Wrong` with the reason otherwise.
"""

import email
import email.policy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Job = dict[str, Any]

#: Target sizes and formats of the photograph, whose aspect ratio is 512 x 600.
PICTURES = (
    ({"width": 256, "format": "jpeg"}, (256, 300), "JPEG"),
    ({"height": 450, "format": "webp"}, (384, 450), "WEBP"),
    ({"width": 128, "height": 128, "format": "png"}, (128, 128), "PNG"),
)
PHOTOGRAPH = "grace_hopper.jpg"
#: The hundredth Fibonacci number (OEIS A000045) and 30! (A000142).
FIBONACCI_100 = 354224848179261915075
FACTORIAL_30 = 265252859812191058636308480000000
#: In seconds.
DELAY = 3
FIGURES = "figures.csv"
_FIGURES = {"january": 1200, "february": 950, "march": 1850}


class Wrong(Exception):
    """Raised when a job did not do what it should have done."""


@dataclass(frozen=True)
class Place:
    """Folders of one run: the handlers' files, received mails, and the pictures to keep."""

    files: Path
    mails: Path
    pictures: Path


@dataclass
class DemoJob:
    """A job to submit. `attempts` is the expected number, `redriven` whether it becomes a dead letter first."""

    title: str
    body: dict[str, Any]
    check: Callable[[Job, Place], str]
    attempts: int = 1
    redriven: bool = False
    #: The latest state, updated while the demo runs.
    id: str = ""
    job: Job = field(default_factory=dict)
    note: str = ""


def all_jobs() -> list[DemoJob]:
    """Return the jobs, in the order in which they are submitted."""
    return [*_pictures(), *_plain_jobs(), *_failing_jobs()]


def _pictures() -> list[DemoJob]:
    return [
        DemoJob(
            f"resize a photograph to {width} x {height}, {kind}",
            {"type": "image_resize", "payload": {"url": f"file:{PHOTOGRAPH}", **sizes}},
            _picture_of(width, height, kind),
        )
        for sizes, (width, height), kind in PICTURES
    ]


def _plain_jobs() -> list[DemoJob]:
    message = {"to": "Ada Lovelace <ada@example.com>", "subject": "Grüße from Gopher", "body": "The engine works.\n"}
    return [
        DemoJob("send an e-mail", {"type": "email", "payload": message, "priority": "high"}, _mail_of(message)),
        DemoJob(
            "the 100th Fibonacci number",
            {"type": "math", "payload": {"operation": "fibonacci", "number": 100}},
            _number(FIBONACCI_100),
        ),
        DemoJob("30!", {"type": "math", "payload": {"operation": "factorial", "number": 30}}, _number(FACTORIAL_30)),
        DemoJob("a report on the queue", {"type": "report", "payload": {"report_type": "queue_health"}}, _report),
        DemoJob(
            f"run {DELAY} s later",
            {"type": "math", "payload": {"operation": "prime", "number": 2**61 - 1}, "delay": f"{DELAY}s"},
            _late_prime,
        ),
    ]


def _failing_jobs() -> list[DemoJob]:
    unsteady = {"name": "service", "failures": 2}
    return [
        DemoJob("fail twice, then succeed", {"type": "demo_unsteady", "payload": unsteady}, _third_call, attempts=3),
        DemoJob(
            "end as a dead letter, be retried",
            {"type": "demo_sum", "payload": {"file": FIGURES}},
            _figures,
            redriven=True,
        ),
    ]


def mend(place: Place) -> None:
    """Fix the cause, as an operator would before retrying a dead letter: create the missing file."""
    rows = "".join(f"{month},{amount}\n" for month, amount in _FIGURES.items())
    (place.files / FIGURES).write_text(f"month,amount\n{rows}")


def _picture_of(width: int, height: int, kind: str) -> Callable[[Job, Place], str]:
    def check(job: Job, place: Place) -> str:
        from PIL import Image

        path = Path(job["result"]["path"])
        with Image.open(path) as picture:
            picture.load()
            _equal("the picture", (picture.format, picture.size), (kind, (width, height)))
        _equal("its bytes", path.stat().st_size, job["result"]["bytes"])
        kept = place.pictures / f"{Path(PHOTOGRAPH).stem}-{width}x{height}{path.suffix}"
        kept.write_bytes(path.read_bytes())
        return f"{kept.name}, {path.stat().st_size:,} bytes"

    return check


def _mail_of(sent: dict[str, str]) -> Callable[[Job, Place], str]:
    def check(job: Job, place: Place) -> str:
        mails = [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in sorted(place.mails.glob("*.eml"))
        ]
        found = [mail for mail in mails if mail["Message-ID"] == job["result"]["message_id"]]
        _equal("mails that arrived", len(found), 1)
        body = found[0].get_body(("plain",))
        _equal("its To", str(found[0]["To"]), sent["to"])
        _equal("its Subject", str(found[0]["Subject"]), sent["subject"])
        _equal("its text", body and body.get_content().replace("\r\n", "\n"), sent["body"])
        return f"arrived at {', '.join(job['result']['recipients'])}"

    return check


def _number(value: int) -> Callable[[Job, Place], str]:
    def check(job: Job, place: Place) -> str:
        # A string, since JSON readers that know only doubles would change it.
        _equal("the number", job["result"]["result"], str(value))
        return str(value)

    return check


def _report(job: Job, place: Place) -> str:
    page = Path(job["result"]["path"]).read_text("utf-8")
    if "<html" not in page or "math" not in page:
        raise Wrong("the report does not show the queue's statistics")
    return f"{len(page):,} characters of HTML, {job['result']['workers']} worker"


def _late_prime(job: Job, place: Place) -> str:
    _equal("2^61 - 1 is prime", job["result"]["result"], True)
    created, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    late = (started - created).total_seconds()
    if not DELAY - 0.05 <= late < DELAY + 5:
        raise Wrong(f"it started {late:.2f} s after submission instead of {DELAY} s")
    return f"started {late:.2f} s later; 2^61 - 1 is prime"


def _third_call(job: Job, place: Place) -> str:
    _equal("calls", (job["result"]["calls"], len((place.files / "service.calls").read_text().splitlines())), (3, 3))
    return "succeeded on the third attempt"


def _figures(job: Job, place: Place) -> str:
    _equal("the sum", job["result"], {"rows": len(_FIGURES), "sum": sum(_FIGURES.values())})
    failures = [row for row in job["history"] if row["outcome"] == "failed"]
    _equal("failed attempts in its history", len(failures), 2)
    return f"sum {job['result']['sum']:,} after its retry"


def _equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"{what}: {found!r} instead of {expected!r}")
