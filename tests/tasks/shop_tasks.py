"""Tasks of a shop: ordinary functions, with arguments of every kind of type."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import attrs
import pydantic

from gopher import Job, Schedule, current_job, task
from gopher.registry import Registry, registry

#: In a worker or an API the one that it reads; in a test's own process nobody else should know these tasks.
REGISTRY = registry if __name__ in os.environ.get("GOPHER_HANDLERS", "") else Registry()


@dataclass
class Line:
    sku: str
    price: Decimal


@attrs.define
class Customer:
    name: str
    since: date


class Address(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    street: str
    moved: datetime
    before: "list[Address]" = []


@task(into=REGISTRY)
def send_mail(to: str, n: int = 1) -> str:
    """Sends a mail."""
    return to * n


@task("shop.own-name", into=REGISTRY, queue="media", tags=["pictures"], max_retries=0)
def resize(width: int, /, *, crop: bool = False) -> list[int]:
    return [width, int(crop)]


@task(into=REGISTRY, bind=True, max_retries=0)
def export(job: Job, table: str) -> dict[str, str]:
    assert current_job() is job or current_job() is None
    if table == "broken":
        raise LookupError(f"no table {table}")
    return {"table": table, "type": job.type}


@task(into=REGISTRY)
async def fetch(url: str) -> bytes:
    return url.encode()


@task(into=REGISTRY)
def order(
    lines: list[Line],
    customer: Customer,
    address: Address,
    when: datetime,
    patience: timedelta = timedelta(minutes=1),
    coupon: UUID | None = None,
    tags: frozenset[str] = frozenset(),
) -> tuple[Customer, Address, Decimal, timedelta]:
    assert isinstance(when, datetime)
    assert coupon is None or isinstance(coupon, UUID)
    assert when > datetime(2026, 1, 1, tzinfo=UTC)
    assert tags <= {"new"}
    return customer, address, sum((line.price for line in lines), Decimal()), patience


@task(into=REGISTRY)
def pages(count: int) -> list[str]:
    """Submits a job for each page."""
    return [handle.id for handle in send_mail.map([f"page {n}" for n in range(count)])]


@task(
    into=REGISTRY,
    retry_on=(ConnectionError,),
    backoff=[0.05, timedelta(milliseconds=20)],
    timeout=timedelta(milliseconds=200),
)
def unsteady(how: str) -> None:
    job = current_job()
    assert job
    if how == "timeout":
        time.sleep(20)
    raise {"ConnectionError": ConnectionError, "ValueError": ValueError}[how](f"attempt {job.attempt}")


@task(
    into=REGISTRY,
    cron=[Schedule("every 45 minutes", {"to": "ann", "price": Decimal("1.50")}, name="remind-ann"), "@daily"],
)
def remind(to: str = "all", price: Decimal = Decimal(0)) -> str:
    return f"{to} {price}"
