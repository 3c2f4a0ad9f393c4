"""/api/v1/webhooks: receivers that are told how jobs end."""

import msgspec
from flask import Blueprint, Response

from gopher.interface import WebhooksInterface
from gopher.jobs.webhooks import WebhookId, WebhookRequest

from .answers import answer
from .base_path import own_url
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("webhooks", __name__)

show_all = serve(blueprint, WebhooksInterface.all, "all_webhooks")
show = serve(blueprint, WebhooksInterface.get, "get_webhook")
delete = serve(blueprint, WebhooksInterface.delete, "delete_webhook")
rotate = serve(blueprint, WebhooksInterface.rotate, "rotate_webhook")
enable = serve(blueprint, WebhooksInterface.enable, "enable_webhook")
test = serve(blueprint, WebhooksInterface.test, "test_webhook")
deliveries = serve(blueprint, WebhooksInterface.deliveries)
redeliver = serve(blueprint, WebhooksInterface.redeliver)
secret = serve(blueprint, WebhooksInterface.secret, "callback_secret")
rotate_secret = serve(blueprint, WebhooksInterface.rotate_secret, "rotate_callback_secret")


@serves(blueprint, WebhooksInterface.create)
def create_webhook(sent: WebhookRequest) -> Response:
    made = gopher().webhooks.create(**msgspec.structs.asdict(sent))
    return answer(made, 201, {"Location": own_url(f"/api/v1/webhooks/{made.webhook_id}")})


@serves(blueprint, WebhooksInterface.replace)
def replace_webhook(webhook_id: WebhookId, sent: WebhookRequest) -> Response:
    return answer(gopher().webhooks.replace(webhook_id, sent))
