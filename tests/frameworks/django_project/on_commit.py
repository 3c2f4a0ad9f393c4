"""Enqueues within transactions; prints what became of it."""

import json
import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.db import transaction
from gopher.testing import EagerClient
from shop.models import Order

from gopher.errors import InvalidJob, JobNotFound
from gopher.integrations import django as gopher


def exists(job: str) -> bool:
    try:
        gopher.client().job(job)
    except JobNotFound:
        return False
    return True


class Task:
    """Like a function with a method `delay`."""

    def __init__(self) -> None:
        self.calls = []

    def delay(self, name: str, number: int = 0) -> None:
        self.calls.append([name, number])


said = {}
with transaction.atomic():
    order = Order.objects.create(customer="ann")
    order.job = gopher.enqueue_on_commit("shop.confirm", {"order": order.id})
    order.save()
    said["stored before the commit"] = exists(order.job)
said["stored after it"] = exists(order.job)
said["customer"] = json.loads(bytes(gopher.client().wait(order.job, 60).result))

try:
    with transaction.atomic():
        lost = gopher.enqueue_on_commit("shop.confirm", {"order": 0})
        raise LookupError
except LookupError:
    said["stored after a rollback"] = exists(lost)

orders = Order.objects.count()
try:
    with transaction.atomic():
        Order.objects.create(customer="ben")
        gopher.enqueue_on_commit("shop.confirm", {"order": "many"})
except InvalidJob as error:
    said["mistake"] = error.field
said["orders of the mistake"] = Order.objects.count() - orders

task = Task()
with transaction.atomic():
    gopher.delay_on_commit(task, "ann", number=3)
    said["delayed before the commit"] = list(task.calls)
said["delayed"] = task.calls

with EagerClient() as eager, gopher.replaced_by(eager):
    said["eager"] = eager.job(gopher.enqueue("shop.confirm", {"order": order.id})).status
print(json.dumps(said))
