"""The jobs of a shop, for the pictures in the documents."""

import time
from typing import Any

from gopher import Discard, Job, handler
from gopher.jobs.backoff import Backoff


@handler("import_orders", timeout="5m")
def import_orders(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """Imports the orders of a day."""
    count = payload["orders"]
    job.log("reading %s", payload["file"])
    for number in range(count):
        if number % 50 == 0:
            job.log("order %d of %d", number, count)
        job.progress(number / count, f"order {number} of {count}")
        time.sleep(payload["seconds"] / count)
    return {"orders": count}


@handler("charge_card", max_retries=1, backoff=Backoff("constant", base="300ms", jitter=False))
def charge_card(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """Charges a credit card."""
    job.log("charging order %d", payload["order"])
    if payload["order"] % 7 == 0:
        raise ConnectionError("payments.example did not answer within 10 s")
    if payload["order"] % 11 == 0:
        raise Discard("card declined: insufficient funds")
    time.sleep(0.005 + payload["order"] % 13 / 300)
    return {"order": payload["order"], "charged": True}
