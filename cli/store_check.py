"""`doctor`'s check of the store for files: whether the API and the workers see the same one."""

import time

from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.files.seen import api_stores
from gopher.jobs.models import WorkerView

from .checks import Check, Finding

_REMEDY = (
    "Set GOPHER_STORE to the same value everywhere: redis:, or a bucket such as s3://bucket/prefix. file: is for "
    "processes that share the folder GOPHER_FILES."
)


def store_check(gopher: Client) -> Check:
    """Compare the stores of the API processes, as far as they have used one, with those of the live workers."""
    api = {f"the API on {host}": store for host, store in sorted(api_stores(gopher.server).items())}
    views = gopher.workers()
    if any(api.values()) or any(each.store for each in views):
        views = _up_to_date(gopher, views)
    workers = {f"the worker {each.host}:{each.pid}": each.store for each in views}
    # A folder that was never used is no problem, unless others store files.
    used = {store for store in (*api.values(), *workers.values()) if store}
    if not used:
        return Check("files", f"{gopher.server.settings.store} without files")
    differ = {who: store for who, store in (api | workers).items() if store != _usual(api, workers)}
    if not differ:
        return Check("files", f"all processes use {_shown(used.pop())}")
    rows = [f"{who} uses {_shown(store)}" for who, store in (api | workers).items()]
    message = f"processes use different stores for files, so uploads and results are not found: {'; '.join(rows[:10])}"
    return Check("files", "different stores", [Finding(message, _REMEDY)])


def _up_to_date(gopher: Client, views: list[WorkerView]) -> list[WorkerView]:
    """Return the workers, once those with an empty folder have looked again: the first file may be newer than that."""
    # An idle worker writes its record three times a lease.
    since, deadline = gopher.inspector.now(), time.monotonic() + gopher.settings.worker_lease / 2
    while time.monotonic() < deadline:
        if all(each.store or from_rfc3339(each.last_heartbeat) > since for each in views):
            break
        time.sleep(0.2)
        views = gopher.workers()
    return views


def _usual(api: dict[str, str], workers: dict[str, str]) -> str:
    """Return the store that the others are compared with."""
    return next(iter((*api.values(), *(store for store in workers.values() if store))))


def _shown(store: str) -> str:
    if not store:
        return "an empty folder of its own"
    return f"a folder with the id {store[6:14]}" if store.startswith("file: ") else store
