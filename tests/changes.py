"""What each route that changes something needs to be there, and to be sent, so that it does change something.

Tests of the audit trail go through all routes of the application with it; one that is missing here fails them.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec

from gopher.client import Client
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.webhooks import note_delivery
from tests.seeding import SeedingWorker

EMAIL = {"to": "user@example.com", "subject": "Hello", "body": "private"}
SCHEDULE = {"cron_expression": "0 3 1 1 *", "type": "email", "payload": EMAIL}


class Seeds:
    """Makes jobs, schedules and limits, each in a queue of its own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"queue-{uuid4().hex[:8]}"
        client.server.register_queues(self.queue)

    def pending(self) -> str:
        return self.client.enqueue("email", EMAIL, queue=self.queue)

    def dead(self) -> str:
        worker, job_id = SeedingWorker(self.client, self.queue), self.pending()
        worker.dead_letter(worker.fetch()[0])
        return job_id

    def batch(self) -> str:
        with self.client.batch(queue=self.queue) as batch:
            batch.enqueue("email", EMAIL, queue=self.queue)
        return batch.id

    def redrive(self) -> str:
        self.dead()
        return self.client.dead_letters.retry_gradually(queue=self.queue, rate="1/h").redrive_id

    def scheduled(self) -> str:
        return self.client.enqueue("email", EMAIL, queue=self.queue, delay="1h")

    def cancellation(self) -> str:
        self.pending()
        return self.client.waiting.cancel_matching(queue=self.queue).cancellation_id

    def schedule(self) -> str:
        spec = ScheduleSpec("0 3 1 1 *", "email", msgspec.Raw(msgspec.json.encode(EMAIL)), queue=self.queue)
        self.client.schedules.put(self.queue, spec)
        return self.queue

    def worker(self) -> str:
        SeedingWorker(self.client, self.queue, name := f"seeder-{self.queue}").show(queues=[self.queue])
        return name

    def paused_queue(self) -> str:
        self.client.flow.pause_queue(self.queue)
        return self.queue

    def paused_type(self) -> str:
        self.client.flow.pause_type("email")
        return "email"

    def free_type(self) -> str:
        self.client.flow.resume_type("email")
        return "email"

    def tenant(self) -> str:
        self.client.flow.set_tenant("shop", 2)
        return "shop"

    def limited_type(self) -> str:
        self.client.flow.set_limit("email", "10/s", None, None)
        return "email"

    def throttled_type(self) -> str:
        worker = SeedingWorker(self.client, self.queue)
        self.pending()
        worker.throttle(worker.fetch()[0])
        return "email"

    def key(self) -> str:
        return self.client.keys.create("night shift", "read").key_id

    def webhook(self) -> str:
        return self.client.webhooks.create("https://example.com/hook", queues=[self.queue]).webhook_id

    def disabled_webhook(self) -> str:
        webhook_id = self.webhook()
        note_delivery(self.client.server, webhook_id, "gone")
        return webhook_id

    def delivery(self) -> str:
        job_id = self.client.webhooks.test(self.webhook())
        self.client.cancel(job_id)
        return job_id


Parts = dict[str, str]
#: Path of the API and the dashboard -> what its parameters stand for.
PARTS: dict[str, Callable[[Seeds], Parts]] = {
    "POST /api/v1/batches/<batch_id>/cancel": lambda seeds: {"batch_id": seeds.batch()},
    "POST /api/v1/batches/<batch_id>/retry": lambda seeds: {"batch_id": seeds.batch()},
    "DELETE /api/v1/dlq": lambda seeds: {"": seeds.dead()},
    "DELETE /api/v1/dlq/<job_id>": lambda seeds: {"job_id": seeds.dead()},
    "POST /api/v1/dlq/<job_id>/retry": lambda seeds: {"job_id": seeds.dead()},
    "POST /api/v1/dlq/redrives/<redrive_id>/stop": lambda seeds: {"redrive_id": seeds.redrive()},
    "POST /api/v1/dlq/retries/<retry_id>/stop": lambda seeds: {"retry_id": seeds.redrive()},
    "POST /api/v1/dlq/retry-all": lambda seeds: {"": seeds.dead()},
    "DELETE /api/v1/jobs/<job_id>": lambda seeds: {"job_id": seeds.pending()},
    "POST /api/v1/jobs/<job_id>/cancel": lambda seeds: {"job_id": seeds.pending()},
    "POST /api/v1/jobs/<job_id>/run": lambda seeds: {"job_id": seeds.scheduled()},
    "POST /api/v1/jobs/<job_id>/move": lambda seeds: {"job_id": seeds.pending()},
    "POST /api/v1/jobs/<job_id>/copy": lambda seeds: {"job_id": seeds.dead()},
    "POST /api/v1/jobs/cancel": lambda seeds: {"": seeds.pending()},
    "POST /api/v1/jobs/cancellations/<cancellation_id>/stop": lambda seeds: {"cancellation_id": seeds.cancellation()},
    "POST /api/v1/keys": lambda seeds: {},
    "POST /api/v1/keys/<key_id>/rotate": lambda seeds: {"key_id": seeds.key()},
    "DELETE /api/v1/keys/<key_id>": lambda seeds: {"key_id": seeds.key()},
    "PUT /api/v1/limits/<job_type>": lambda seeds: {"job_type": "email"},
    "PUT /api/v1/tenants/<tenant>": lambda seeds: {"tenant": "shop"},
    "DELETE /api/v1/tenants/<tenant>": lambda seeds: {"tenant": seeds.tenant()},
    "DELETE /api/v1/limits/<job_type>": lambda seeds: {"job_type": seeds.limited_type()},
    "DELETE /api/v1/limits/<job_type>/throttled": lambda seeds: {"job_type": seeds.throttled_type()},
    "DELETE /api/v1/queues/<queue>": lambda seeds: {"queue": seeds.queue, "": seeds.pending()},
    "POST /api/v1/queues/<queue>/pause": lambda seeds: {"queue": seeds.queue},
    "POST /api/v1/queues/<queue>/resume": lambda seeds: {"queue": seeds.paused_queue()},
    "PUT /api/v1/schedules/<name>": lambda seeds: {"name": seeds.queue},
    "DELETE /api/v1/schedules/<name>": lambda seeds: {"name": seeds.schedule()},
    "POST /api/v1/schedules/<name>/pause": lambda seeds: {"name": seeds.schedule()},
    "POST /api/v1/schedules/<name>/resume": lambda seeds: {"name": seeds.schedule()},
    "POST /api/v1/schedules/<name>/run": lambda seeds: {"name": seeds.schedule()},
    "POST /api/v1/types/<job_type>/pause": lambda seeds: {"job_type": seeds.free_type()},
    "POST /api/v1/types/<job_type>/resume": lambda seeds: {"job_type": seeds.paused_type()},
    "POST /dashboard/batches/<batch_id>/cancel": lambda seeds: {"batch_id": seeds.batch()},
    "POST /dashboard/batches/<batch_id>/retry": lambda seeds: {"batch_id": seeds.batch()},
    "POST /api/v1/webhooks": lambda seeds: {},
    "PUT /api/v1/webhooks/<webhook_id>": lambda seeds: {"webhook_id": seeds.webhook()},
    "DELETE /api/v1/webhooks/<webhook_id>": lambda seeds: {"webhook_id": seeds.webhook()},
    "POST /api/v1/webhooks/<webhook_id>/enable": lambda seeds: {"webhook_id": seeds.disabled_webhook()},
    "POST /api/v1/webhooks/<webhook_id>/rotate": lambda seeds: {"webhook_id": seeds.webhook()},
    "POST /api/v1/webhooks/<webhook_id>/test": lambda seeds: {"webhook_id": seeds.webhook()},
    "POST /api/v1/webhooks/deliveries/<job_id>/redeliver": lambda seeds: {"job_id": seeds.delivery()},
    "POST /api/v1/webhooks/secret/rotate": lambda seeds: {},
    "POST /dashboard/dead/discard": lambda seeds: {"": seeds.dead()},
    "POST /dashboard/dead/redrives/<redrive_id>/stop": lambda seeds: {"redrive_id": seeds.redrive()},
    "POST /dashboard/dead/retry": lambda seeds: {"": seeds.dead()},
    "POST /dashboard/cancellations/start": lambda seeds: {"": seeds.pending()},
    "POST /dashboard/cancellations/<cancellation_id>/stop": lambda seeds: {"cancellation_id": seeds.cancellation()},
    "POST /dashboard/jobs/<job_id>/run": lambda seeds: {"job_id": seeds.scheduled()},
    "POST /dashboard/jobs/<job_id>/move": lambda seeds: {"job_id": seeds.pending()},
    "POST /dashboard/jobs/<job_id>/copy": lambda seeds: {"job_id": seeds.dead()},
    "POST /dashboard/jobs/<job_id>/cancel": lambda seeds: {"job_id": seeds.pending()},
    "POST /dashboard/jobs/<job_id>/discard": lambda seeds: {"job_id": seeds.dead()},
    "POST /dashboard/jobs/<job_id>/retry": lambda seeds: {"job_id": seeds.dead()},
    "POST /dashboard/limits/clear": lambda seeds: {"": seeds.limited_type()},
    "POST /dashboard/limits/release": lambda seeds: {"": seeds.throttled_type()},
    "POST /dashboard/limits/set": lambda seeds: {},
    "POST /dashboard/tenants/clear": lambda seeds: {"": seeds.tenant()},
    "POST /dashboard/tenants/set": lambda seeds: {},
    "POST /dashboard/queues/<queue>/pause": lambda seeds: {"queue": seeds.queue},
    "POST /dashboard/queues/<queue>/purge": lambda seeds: {"queue": seeds.queue, "": seeds.pending()},
    "POST /dashboard/queues/<queue>/resume": lambda seeds: {"queue": seeds.paused_queue()},
    "POST /dashboard/schedules/<name>/delete": lambda seeds: {"name": seeds.schedule()},
    "POST /dashboard/schedules/<name>/pause": lambda seeds: {"name": seeds.schedule()},
    "POST /dashboard/schedules/<name>/resume": lambda seeds: {"name": seeds.schedule()},
    "POST /dashboard/schedules/<name>/run": lambda seeds: {"name": seeds.schedule()},
    "POST /dashboard/webhooks/<webhook_id>/delete": lambda seeds: {"webhook_id": seeds.webhook()},
    "POST /dashboard/webhooks/<webhook_id>/enable": lambda seeds: {"webhook_id": seeds.disabled_webhook()},
    "POST /dashboard/webhooks/<webhook_id>/test": lambda seeds: {"webhook_id": seeds.webhook()},
    "POST /dashboard/webhooks/deliveries/<job_id>/redeliver": lambda seeds: {"job_id": seeds.delivery()},
    "POST /api/v1/workers/<worker_id>/quiet": lambda seeds: {"worker_id": seeds.worker()},
    "POST /api/v1/workers/<worker_id>/stop": lambda seeds: {"worker_id": seeds.worker()},
    "POST /api/v1/workers/quiet": lambda seeds: {"": seeds.worker()},
    "POST /api/v1/workers/stop": lambda seeds: {"": seeds.worker()},
    "POST /dashboard/workers/<worker_id>/quiet": lambda seeds: {"worker_id": seeds.worker()},
    "POST /dashboard/workers/<worker_id>/stop": lambda seeds: {"worker_id": seeds.worker()},
    "POST /dashboard/types/pause": lambda seeds: {"": seeds.free_type()},
    "POST /dashboard/types/resume": lambda seeds: {"": seeds.paused_type()},
}
#: What is sent: query, JSON, or the fields of a form.
SENT: dict[str, dict[str, Any]] = {
    "POST /api/v1/jobs/<job_id>/move": {"json": {"priority": "high"}},
    "POST /api/v1/jobs/cancel": {"json": {"type": "email"}},
    "POST /dashboard/jobs/<job_id>/move": {"data": {"priority": "high"}},
    "POST /dashboard/cancellations/start": {"data": {"type": "email"}},
    "POST /api/v1/keys": {"json": {"name": "night shift", "role": "read"}},
    "POST /api/v1/webhooks": {"json": {"url": "https://example.com/hook"}},
    "PUT /api/v1/webhooks/<webhook_id>": {"json": {"url": "https://example.com/hook"}},
    "PUT /api/v1/limits/<job_type>": {"json": {"rate": "10/s"}},
    "PUT /api/v1/tenants/<tenant>": {"json": {"weight": 2}},
    "PUT /api/v1/schedules/<name>": {"json": SCHEDULE},
    "DELETE /api/v1/queues/<queue>": {"params": {"state": "pending"}},
    "POST /dashboard/dead/discard": {"data": {"which": "all"}},
    "POST /dashboard/dead/retry": {"data": {"which": "all"}},
    "POST /dashboard/limits/clear": {"data": {"type": "email"}},
    "POST /dashboard/limits/release": {"data": {"type": "email"}},
    "POST /dashboard/limits/set": {"data": {"type": "email", "rate": "10/s"}},
    "POST /dashboard/tenants/clear": {"data": {"tenant": "shop"}},
    "POST /dashboard/tenants/set": {"data": {"tenant": "shop", "weight": "2"}},
    "POST /dashboard/queues/<queue>/purge": {"data": {"state": "pending"}},
    "POST /dashboard/types/pause": {"data": {"type": "email"}},
    "POST /dashboard/types/resume": {"data": {"type": "email"}},
}
