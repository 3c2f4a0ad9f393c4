"""Enqueues tasks; prints their results."""

import json
import os
import time
from datetime import timedelta

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.tasks import TaskResultStatus, default_task_backend
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.utils import timezone
from shop import emails, tasks

from gopher.integrations.django import client


def finished(result):
    deadline = time.monotonic() + 60
    while not result.is_finished and time.monotonic() < deadline:
        time.sleep(0.02)
        result.refresh()
    return result


said = {}
hello = finished(tasks.greet.enqueue("Ann", punctuation="?"))
said["greet"] = [
    hello.return_value,
    hello.attempts,
    hello.args,
    hello.kwargs,
    hello.errors,
    client().job(hello.id).type,
]
said["times"] = hello.enqueued_at <= hello.started_at <= hello.finished_at
said["same task"] = tasks.greet.get_result(hello.id).return_value == hello.return_value
mail = finished(tasks.agreet.enqueue("Ben"))
view = client().job(mail.id)
said["agreet"] = [mail.return_value, view.queue, view.priority]
said["again"] = [finished(tasks.again.enqueue(2)).return_value]
dead = finished(tasks.again.enqueue(9))
said["dead"] = [dead.status, dead.attempts, dead.errors[0].exception_class is tasks.Broken]
said["receipt"] = [finished(emails.receipt.enqueue(1)).return_value]
later = tasks.greet.using(run_after=timezone.now() + timedelta(hours=1)).enqueue("Ann")
later.refresh()
said["later"] = [later.status == TaskResultStatus.READY, client().job(later.id).status]
for name, wrong in (
    ("queue", lambda: tasks.greet.using(queue_name="nowhere")),
    ("json", lambda: tasks.greet.enqueue({1})),
):
    try:
        wrong()
    except (InvalidTask, TypeError) as error:
        said[f"wrong {name}"] = type(error).__name__
try:
    default_task_backend.get_result("nothing")
except TaskResultDoesNotExist:
    said["missing"] = True
print(json.dumps(said, default=str))
