"""/dashboard/webhooks: the webhooks and their deliveries, which can be sent again."""

from flask import Response
from gopher.app import webhooks as api_webhooks
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.jobs.callbacks import DELIVERY_TYPE

from .acts import act
from .frame import blueprint, done, filters, page


@blueprint.get("/webhooks")
def webhooks() -> Response:
    filters()
    return page("webhooks.html", webhooks=gopher().webhooks.all(), delivery_type=DELIVERY_TYPE)


@blueprint.get("/webhooks/<webhook_id>")
def webhook(webhook_id: str) -> Response:
    filters()
    view = gopher().webhooks.get(webhook_id)
    return page("webhook.html", webhook=view, deliveries=gopher().webhooks.deliveries(webhook_id))


@blueprint.post("/webhooks/<webhook_id>/delete")
def delete_webhook(webhook_id: str) -> BaseResponse:
    act(api_webhooks.delete, webhook_id=webhook_id)
    return done(f"Webhook {webhook_id} deleted.")


@blueprint.post("/webhooks/<webhook_id>/enable")
def enable_webhook(webhook_id: str) -> BaseResponse:
    act(api_webhooks.enable, webhook_id=webhook_id)
    return done(f"Webhook {webhook_id} enabled.")


@blueprint.post("/webhooks/<webhook_id>/test")
def test_webhook(webhook_id: str) -> BaseResponse:
    made = act(api_webhooks.test, webhook_id=webhook_id)
    return done(f"Test message sent by job {made['job_id']}.")


@blueprint.post("/webhooks/deliveries/<job_id>/redeliver")
def redeliver(job_id: str) -> BaseResponse:
    made = act(api_webhooks.redeliver, job_id=job_id)
    return done(f"The message is sent again by job {made['job_id']}.")
