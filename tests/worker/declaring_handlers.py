"""Handlers that declare options of their jobs, and types of their results, for clients that do not import them."""

from dataclasses import dataclass

from gopher import Job, handler


@dataclass
class Receipt:
    total: int


@handler(
    "announced_invoice",
    queue="billing",
    priority="high",
    retention="2h",
    tags=["money"],
    unique_for="1h",
    unique_key=str,
)
def invoice(job: Job, payload: dict) -> Receipt:
    return Receipt(**payload)


@handler("tagged")
async def tagged(job: Job, payload: dict) -> list[str]:
    return payload.get("result", list(job.tags))
