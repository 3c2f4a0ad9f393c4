"""Handlers that use all that a job offers, for tests of `gopherctl replay`."""

import asyncio
from dataclasses import dataclass
from typing import Any

from gopher import Client, Job, handler, task


@dataclass
class Order:
    number: int
    text: str = ""
    parent_file: str = ""


@task("replay.receipt")
def receipt(number: int) -> int:
    return number


@handler("replay.charge", max_retries=0)
def charge(job: Job, payload: Order) -> None:
    """Reports, reads files, stores one, enqueues jobs by each kind of client, and fails."""
    job.log("charging %d, %d letters", payload.number, len(payload.text))
    job.progress(0.5, "half")
    texts = {name: path.read_text() for name, path in job.files.items()}
    found = [job.parent_file(each, payload.parent_file).read_text() for each in job.parents if payload.parent_file]
    job.attach(b"receipt", "receipt.txt")
    receipt.delay(number=payload.number)
    with Client() as client, client.batch(name="mails", on_complete={"type": "replay.receipt"}) as batch:
        batch.enqueue("replay.mail", {"to": "a"}, queue="mail")
    secret = {"texts": texts, "found": found, "parents": [*job.parents.values()], "cancelled": job.cancelled()}
    raise ValueError(f"card declined {secret}")


@handler("replay.pauses", max_retries=0)
def pauses(job: Job, payload: dict[str, Any]) -> None:
    """Changes something on the server that is no submission."""
    with Client() as client:
        client.flow.pause_queue("mail")


@handler("replay.coroutine", max_retries=0)
async def coroutine(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(payload.get("seconds", 0))
    return {"attempt": job.attempt, "large": "x" * payload.get("large", 0)}


@handler("replay.parent", attach_result=True)
def parent(job: Job, payload: dict[str, Any]) -> Any:
    """Returns a result that may be large, with a file."""
    job.attach(b"from the parent", "parent.txt")
    return "y" * payload.get("large", 1)
