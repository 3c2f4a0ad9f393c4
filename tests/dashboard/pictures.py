"""Takes the pictures in docs/dashboard.md: `python -m tests.dashboard.pictures FOLDER`, or `make pictures`.

A server, an API, two workers and a scheduler of their own run the jobs of `make demo` and those of a shop; Chromium
looks at them.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from gopher.cli.demo_jobs import PHOTOGRAPH, all_jobs
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from gopher.client import Client
from gopher.jobs.schedule import ScheduleSpec
from gopher.server.embedded import EmbeddedServer
from tests.app.conftest import running_api
from tests.dashboard.browser import launch
from tests.helpers import free_port, wait_until
from tests.worker.processes import Scheduler, Worker

SIZE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
#: Seconds in which the shop has its jobs come in.
BUSY = 100
_EMAIL = {"to": "ada@example.com", "subject": "Your order", "body": "Thank you."}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with shop() as (base, client), sync_playwright() as playwright:
        browser = launch(playwright)
        running = open_shop(client)
        for name, path, size, scheme in views(client, running):
            take(browser, f"{base}/dashboard{path}", folder / f"{name}.png", size, scheme)
        browser.close()


def views(client: Client, running: str) -> Iterator[tuple[str, str, dict[str, int], str]]:
    """Yield name, path, size and colours of each picture."""
    dead = client.jobs(status="failed", job_type="charge_card").jobs[0].job_id
    yield "overview", "", SIZE, "light"
    yield "dead-letters", "/dead", SIZE, "light"
    yield "running", f"/jobs/{running}", SIZE, "light"
    yield "jobs", "/jobs", SIZE, "light"
    yield "dead-letter", f"/jobs/{dead}", SIZE, "dark"
    yield "phone", "", PHONE, "dark"


def take(browser: Browser, address: str, path: Path, size: dict[str, int], scheme: str) -> None:
    """Take one picture, with few enough colours to be small."""
    context = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=1)
    page = context.new_page()
    page.goto(address)
    # Live plots need a few figures.
    page.wait_for_timeout(5000 if address.endswith("/dashboard") else 500)
    page.screenshot(path=path)
    context.close()
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")  # noqa: T201 - a script tells what it has done


@contextmanager
def shop() -> Iterator[tuple[str, Client]]:
    """Run everything; yield the address of the API, and a client of the same queues."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="gopher-shop-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(EmbeddedServer(folder / "server"))
        environ = _environ(folder)
        mail = subprocess.Popen(
            [sys.executable, "-P", "-m", "gopher.cli.demo_mail", environ["SMTP_URL"].rpartition(":")[2], str(folder)],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(mail.wait)
        stack.callback(mail.terminate)
        client = stack.enter_context(Client(server.url, namespace="shop"))
        api = stack.enter_context(running_api(folder, server.url, GOPHER_NAMESPACE="shop", **environ))
        for concurrency in ("4", "3"):
            worker = Worker(client, folder, **environ, WORKER_CONCURRENCY=concurrency, WORKER_QUEUES="default,mail")
            stack.callback(worker.destroy)
        scheduler = Scheduler(client, folder, **environ)
        stack.callback(scheduler.destroy)
        yield str(api.base_url), client


def _environ(folder: Path) -> dict[str, str]:
    files = folder / "files"
    files.mkdir()
    # Where tracebacks name it: not in the checkout.
    shutil.copy(Path(__file__).with_name("shop.py"), folder)
    photographs = Path(sys.prefix).glob(f"lib/python3*/site-packages/matplotlib/mpl-data/sample_data/{PHOTOGRAPH}")
    shutil.copy(next(photographs), files)
    return {
        "GOPHER_HANDLERS": "gopher.handlers,gopher.cli.demo_handlers,shop",
        "GOPHER_FILES": str(files),
        "SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
        "PYTHONPATH": str(folder),
    }


def open_shop(client: Client) -> str:
    """Let jobs come in for a while; return the id of one that runs all the time."""
    numbers = random.Random(7)
    client.flow.set_limit("email", "20/s", 40, None)
    for name, cron, job_type in (
        ("nightly-cleanup", "0 3 * * *", "cleanup"),
        ("monday-report", "30 7 * * mon", "report"),
        ("orders-of-the-day", "*/15 8-20 * * *", "import_orders"),
    ):
        payload = b'{"report_type": "daily_summary"}' if job_type == "report" else b"{}"
        spec = ScheduleSpec(cron_expression=cron, timezone="Europe/Berlin", type=job_type, payload=msgspec.Raw(payload))
        client.schedules.put(name, spec)
    client.schedules.pause("orders-of-the-day")
    orders = {"file": "orders-2026-11-24.csv", "orders": 1840, "seconds": BUSY * 2}
    running = client.enqueue("import_orders", orders, priority="high", metadata={"shop": "Berlin"})
    for job in all_jobs():
        body = dict(job.body)
        client.enqueue(body.pop("type"), body.pop("payload"), **body)
    order, end = 0, time.monotonic() + BUSY
    while time.monotonic() < end:
        for _ in range(numbers.randint(1, 12)):
            order += 1
            client.enqueue("charge_card", {"order": order}, priority=numbers.choice(["high", "normal", "low"]))
        client.enqueue_many([{"type": "email", "payload": _EMAIL, "queue": "mail"}] * numbers.randint(0, 3))
        time.sleep(0.1)
    client.enqueue_many([{"type": "email", "payload": _EMAIL, "queue": "mail", "priority": "low"}] * 400)
    client.enqueue_many([{"type": "report", "payload": {"report_type": "queue_health"}, "delay": "2h"}] * 3)
    wait_until(lambda: client.jobs(status="failed", job_type="charge_card").jobs, 20)
    return running


if __name__ == "__main__":
    main(Path(sys.argv[1]))
