"""The jobs of the shop. Workers find this module by its name."""

from dataclasses import dataclass

from django.db import transaction

from gopher import Job, handler
from gopher.integrations.django import enqueue_on_commit
from gopher.retry import Backoff

from .models import Order
from .payments import CardRefused, charge


@dataclass
class OfOrder:
    order_id: int


@handler(
    "shop.charge", max_retries=5, backoff=Backoff("exponential", base=0.5, cap=60, jitter=0), permanent=(CardRefused,)
)
def charge_order(job: Job, payload: OfOrder) -> str:
    """Charges the card of an order: once, however often it is started."""
    try:
        with transaction.atomic():
            order = Order.objects.select_for_update().get(id=payload.order_id)
            if order.state == "paid":
                return "paid before"
            charge(order.card, order.cents, attempt=job.attempt)
            order.state = "paid"
            order.save()
            enqueue_on_commit("shop.receipt", {"order_id": order.id})
    except CardRefused:
        Order.objects.filter(id=payload.order_id).update(state="refused")
        raise
    return "paid"


@handler("shop.receipt")
def send_receipt(job: Job, payload: OfOrder) -> None:
    """Sends the receipt of an order."""
    with transaction.atomic():
        order = Order.objects.select_for_update().get(id=payload.order_id)
        order.receipts += 1
        order.save()


@handler("shop.nightly", cron="0 3 * * *", timezone="Europe/Berlin")
def count_unpaid(job: Job, payload: dict) -> int:
    """Counts the orders that were never paid for."""
    return Order.objects.exclude(state="paid").count()
