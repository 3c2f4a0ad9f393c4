"""The webhooks on the server: all of them, their secrets, and the secret of callbacks are in one hash.

Fields are the ids of webhooks, `callbacks`, and of some webhooks `failures:<id>` and `disabled:<id>`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE, order, text
from gopher.base.signatures import new_secret
from gopher.jobs.callbacks import EVENTS
from gopher.jobs.webhooks import MAX_WEBHOOKS, WEBHOOK_ID, Secrets, WebhookRecord
from gopher.server.calls import Call, Command
from gopher.server.errors import explained

from .api_keys import UNREAD
from .keys import Keys
from .scripts import script

if TYPE_CHECKING:
    from .store import Server

#: Field of the secret of callbacks.
CALLBACKS = "callbacks"
Outcome = Literal["delivered", "failed", "gone", "enabled"]
_FAILURES, _DISABLED = "failures:", "disabled:"
_decode_record = msgspec.json.Decoder(WebhookRecord).decode
_decode_secrets = msgspec.json.Decoder(Secrets).decode


class StoredWebhook(NamedTuple):
    """A webhook's record as it is stored, and as it reads, None if it can't be read."""

    stored: bytes
    record: WebhookRecord | None
    failures: int = 0
    #: Since when it is disabled (Unix ms), and why; None if it is not.
    disabled: tuple[int, str] | None = None


class StoredWebhooks(NamedTuple):
    """The webhooks by id; None if they are those of the version that the caller has read."""

    #: The server's clock (Unix ms).
    now: int
    version: str
    webhooks: Mapping[str, StoredWebhook] | None


class Receiver(NamedTuple):
    """Where messages are sent, and how they are signed. Without a URL the webhook does not exist."""

    url: str
    secrets: Sequence[str] = ()
    failures: int = 0
    disabled: bool = False


def read_webhooks(keys: Keys, version: str = UNREAD) -> Call:
    """Read the webhooks, unless `version` is still the current one (read_keys.lua). The reply is a `StoredWebhooks`."""
    return Call(script("api/read_keys"), keys.webhooks, (version,), _read)


def change_webhook(server: "Server", field: str, stored: bytes, new: bytes) -> str:
    """Change the record of a webhook, or the secret of callbacks; b"" for none.

    Returns OK, CHANGED if another client has changed it since it was read, or FULL.
    """
    arguments = (field, stored, new, str(MAX_WEBHOOKS))
    answer: str = server.run(Call(script("api/change_webhook"), server.keys.webhooks, arguments, text))
    return answer


def import_webhook(server: "Server", field: str, stored: bytes, disabled: str) -> str:
    """Create a webhook, or the secret of callbacks, by its record of another installation. Raises ValueError.

    Returns OK, EXISTS if it is there already, CHANGED if another one is, or FULL.
    """
    try:
        _decode_secrets(stored) if field == CALLBACKS else _decode_record(stored)
    except UNREADABLE as error:
        raise ValueError(str(error)) from None
    if field != CALLBACKS and not WEBHOOK_ID.fullmatch(field):
        raise ValueError(f"{field!r:.60} is not the id of one")
    with explained():
        known = server.client.hget(server.keys.webhooks, field)
    if known is not None:
        return "EXISTS" if known == stored else "CHANGED"
    if disabled:
        # First, so that nothing is sent to it meanwhile.
        server.write(
            server.keys.webhooks, lambda: server.client.hset(server.keys.webhooks, _DISABLED + field, disabled)
        )
    answer = change_webhook(server, field, b"", stored)
    if answer == "OK":
        tell_of_change(server)
        subscribe_all(server, server.queues())
    return answer


def disabled_field(webhook: StoredWebhook) -> str:
    """Return since when and why a webhook is disabled, as it is stored; "" if it is not."""
    return "" if webhook.disabled is None else f"{webhook.disabled[0]} {webhook.disabled[1]}"


def note_delivery(server: "Server", webhook_id: str, outcome: Outcome, most: int = 1) -> bool:
    """Note how a delivery has ended. Returns whether that has disabled or enabled the webhook."""
    arguments = (webhook_id, outcome, str(most))
    changed: bool = server.run(Call(script("api/note_delivery"), server.keys.webhooks, arguments, bool))
    if changed:
        tell_of_change(server)
    return changed


def receiver_of(server: "Server", webhook_id: str) -> Receiver:
    """Return where messages of a webhook are sent; with the id "" only how callbacks are signed."""
    if not webhook_id:
        return Receiver("", callback_secrets(server).at(server_now(server)))
    fields = (webhook_id, _FAILURES + webhook_id, _DISABLED + webhook_id)
    with explained():
        stored, failures, disabled = server.client.hmget(server.keys.webhooks, fields)
    record = read_record(stored) if stored else None
    if record is None:
        return Receiver("")
    return Receiver(record.url, record.secrets.at(server_now(server)), order(failures), disabled is not None)


def callback_secrets(server: "Server") -> Secrets:
    """Return the secret of callbacks; the first call creates it."""
    stored, secrets = stored_callback_secrets(server)
    if secrets is None:
        new = msgspec.json.encode(Secrets(new_secret()))
        # Another process may have created it.
        change_webhook(server, CALLBACKS, stored, new)
        stored, secrets = stored_callback_secrets(server)
    return secrets or Secrets(new_secret())


def stored_callback_secrets(server: "Server") -> tuple[bytes, Secrets | None]:
    """Return the secret of callbacks as it is stored, and as it reads."""
    with explained():
        stored = server.client.hget(server.keys.webhooks, CALLBACKS) or b""
    try:
        return stored, _decode_secrets(stored)
    except UNREADABLE:
        return stored, None


def server_now(server: "Server") -> int:
    """Return the server's time (Unix ms)."""
    found: StoredWebhooks = server.run(read_webhooks(server.keys, UNREAD))
    return found.now


def tell_of_change(server: "Server") -> None:
    """Have workers serve the queue of webhooks, and schedulers tell all queues which ends are to be told."""
    command = mark(server.keys)
    server.write(command.key, lambda: server.client.execute_command(*command.words))


def mark(keys: Keys) -> Command:
    """Return the command which notes that there are webhooks, and that they have changed."""
    return Command(keys.meta, ("HINCRBY", keys.meta, "webhooks", "1"))


def subscriptions(webhooks: Mapping[str, StoredWebhook], queue: str) -> dict[str, str]:
    """Return which ends in a queue are to be told: type, or `*` for all -> states, such as `,completed,failed,`."""
    found: dict[str, set[str]] = {}
    for each in webhooks.values():
        record = each.record
        if record is None or each.disabled or (record.queues and queue not in record.queues):
            continue
        for name in record.types or ("*",):
            found.setdefault(name, set()).update(record.events or EVENTS)
    return {name: f",{','.join(sorted(states))}," for name, states in sorted(found.items())}


def subscribing(server: "Server", queues: Iterable[str], found: StoredWebhooks) -> list[Call]:
    """Return the calls that tell queues which ends of jobs are to be told; deliveries themselves are not."""
    seconds, _, micros = found.version.partition(".")
    version = int(seconds or 0) * 1_000_000 + int(micros or 0)
    return [
        server.queue(name).subscribe(version, subscriptions(found.webhooks or {}, name))
        for name in queues
        if name != server.settings.webhooks_queue
    ]


def subscribe_all(server: "Server", queues: Iterable[str]) -> None:
    """Tell queues which ends of jobs are to be told. Raises a ServerError."""
    server.run_each(subscribing(server, queues, server.run(read_webhooks(server.keys))))


def read_record(value: bytes) -> WebhookRecord | None:
    try:
        return _decode_record(value)
    except UNREADABLE:
        return None


def _read(reply: Sequence[Any]) -> StoredWebhooks:
    now, version, *changed = reply
    return StoredWebhooks(now, text(version), _webhooks(changed[0]) if changed else None)


def _webhooks(flat: Sequence[bytes]) -> dict[str, StoredWebhook]:
    values = {text(field): value for field, value in zip(flat[0::2], flat[1::2], strict=True)}
    return {
        field: StoredWebhook(value, read_record(value), order(values.get(_FAILURES + field)), _disabled(values, field))
        for field, value in values.items()
        if WEBHOOK_ID.fullmatch(field)
    }


def _disabled(values: Mapping[str, bytes], field: str) -> tuple[int, str] | None:
    stored = values.get(_DISABLED + field)
    if stored is None:
        return None
    since, _, why = text(stored).partition(" ")
    return order(since), why
