"""A handler that submits jobs in every way there is, for the tests of whose they are."""

import multiprocessing
import threading
from typing import Any

from gopher import Client, Job, handler


def submit(way: str, ids: Any) -> None:
    with Client(connections=1) as client:
        ids.append(client.enqueue("nothing", {"way": way}, delay="1h"))


@handler("submits")
def submits(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """Submits a job at once, several, one with a unique key twice, one in a thread and one in a process."""
    with Client(connections=1) as client:
        ids = client.enqueue_many({"type": "nothing", "payload": {}, "delay": "1h"} for _ in range(2))
        twice = {client.enqueue("nothing", {}, delay="1h", unique_key="k") for _ in range(2)}
        ids += [*twice, client.enqueue("nothing", {}, after=[payload["trusted"]])]
    submit("plainly", ids)
    thread = threading.Thread(target=submit, args=("by a thread", ids))
    thread.start()
    thread.join()
    with multiprocessing.get_context("fork").Manager() as manager:
        theirs = manager.list()
        process = multiprocessing.get_context("fork").Process(target=submit, args=("by a process", theirs))
        process.start()
        process.join()
        ids += theirs
    return {"owner": job.owner, "ids": ids, "unique": len(twice)}


@handler("nothing")
def nothing(job: Job, payload: dict[str, Any]) -> None:
    """Does nothing."""
