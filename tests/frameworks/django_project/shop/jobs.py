"""Handlers that use the database. They are found without being named anywhere."""

import os
import time

from django.db import connection

from gopher import Job, handler

from .models import Order


# The database may be away for long on a busy machine.
@handler("shop.count", max_retries=100, backoff="constant")
def count(job: Job, payload: dict) -> int:
    found = Order.objects.count()
    time.sleep(payload.get("seconds", 0))
    assert Order.objects.count() == found
    return found


@handler("shop.acount", max_retries=0)
async def acount(job: Job, payload: dict) -> dict:
    return {"orders": await Order.objects.acount(), "pid": os.getpid()}


@handler("shop.confirm", max_retries=0)
def confirm(job: Job, payload: dict[str, int]) -> str:
    return Order.objects.get(id=payload["order"]).customer


@handler("shop.backend", max_retries=0)
def backend(job: Job, payload: dict) -> list[int]:
    """Returns who asks, and the server's process that answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return [os.getpid(), cursor.fetchone()[0]]
