"""Imports what does not belong to jobs: pauses, limits, tenants, webhooks, schedules, idempotency keys, API keys.

What exists there already is kept.
"""

import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from gopher.admin.limits import Flow
from gopher.base.names import JOB_ID, QUEUE_NAME
from gopher.base.names import check_name as check_pattern
from gopher.errors import InvalidJob
from gopher.jobs.api_keys import MAX_KEYS
from gopher.jobs.schedule import check_name, parse_spec
from gopher.jobs.tenants import TenantSettings
from gopher.jobs.webhooks import MAX_WEBHOOKS
from gopher.queue.api_keys import Change, change_keys, read_record
from gopher.queue.inherit_limits import tenant_settings
from gopher.queue.schedule_moves import MOVED
from gopher.queue.store import Server
from gopher.queue.webhooks import CALLBACKS, import_webhook
from gopher.reads.schedules import StoredSchedules
from gopher.server.calls import Command

from .lines import (
    ApiKeyLine,
    BatchLine,
    ExportLine,
    InvalidLine,
    LimitLine,
    QueueLine,
    RequestLine,
    ScheduleLine,
    TenantLine,
    WebhookLine,
    kind_of,
)

if TYPE_CHECKING:
    from .importer import Imported

#: Kind of a line -> the part to which it belongs.
_PARTS: dict[type[Any], str] = {
    QueueLine: "pauses",
    LimitLine: "limits",
    TenantLine: "tenants",
    WebhookLine: "webhooks",
    BatchLine: "batches",
    ScheduleLine: "schedules",
    RequestLine: "requests",
    ApiKeyLine: "keys",
}


class SettingsImport:
    """Imports lines of these kinds, and counts them in a result."""

    def __init__(self, server: Server, result: "Imported") -> None:
        self._server = server
        self._result = result
        self._flow = Flow(server)
        self._stored = StoredSchedules(server)

    def part_of(self, line: ExportLine) -> str | None:
        return _PARTS.get(type(line))

    def queue_of(self, line: ExportLine) -> str:
        """Return the queue to which a line belongs, "" for none. Raises InvalidJob."""
        match line:
            case QueueLine():
                return check_pattern(QUEUE_NAME, line.name, "/name")
            case ScheduleLine() | RequestLine() | BatchLine():
                return check_pattern(QUEUE_NAME, line.queue, "/queue")
        return ""

    def store(self, line: ExportLine) -> None:
        """Import a line. Raises InvalidLine, InvalidJob, a ServerError."""
        reason = None
        match line:
            case QueueLine():
                self._flow.pause_queue(line.name)
                self._result.paused.append(line.name)
            case LimitLine():
                reason = self._limit(line)
            case TenantLine():
                reason = self._tenant(line)
            case WebhookLine():
                reason = self._webhook(line)
            case BatchLine():
                self._batch(line)
            case ScheduleLine():
                reason = self._schedule(line)
            case RequestLine():
                reason = self._request(line)
            case ApiKeyLine():
                reason = self._api_key(line)
        if reason is None:
            self._result.imported[kind_of(line)] += 1
        else:
            self._result.skipped[reason] += 1

    def _limit(self, line: LimitLine) -> str | None:
        known = [view for view in self._flow.limits() if view.type == line.type]
        if line.paused:
            self._flow.pause_type(line.type)
        if line.rate is None and line.concurrency is None:
            return None
        given = (line.rate, line.burst, line.concurrency, line.per_key)
        for view in known:
            if view.origin == "api":
                is_same = (view.rate, view.burst, view.concurrency, view.per_key) == given
                return "exists" if is_same else self._keep(f"limit of {line.type}")
        self._flow.set_limit(line.type, *given[:3], per_key=line.per_key)
        return None

    def _tenant(self, line: TenantLine) -> str | None:
        known = tenant_settings(self._server.client, self._server.keys).get(line.tenant)
        given = TenantSettings(line.weight, line.rate, line.burst, line.concurrency)
        if known is not None:
            return "exists" if known == given else self._keep(f"tenant {line.tenant}")
        self._flow.set_tenant(line.tenant, line.weight, line.rate, line.burst, line.concurrency)
        return None

    def _webhook(self, line: WebhookLine) -> str | None:
        try:
            answer = import_webhook(self._server, line.id, line.record.encode(), line.disabled)
        except ValueError as error:
            raise InvalidLine(f"is not a webhook: {error}") from None
        if answer == "FULL":
            raise InvalidLine(
                f"is one webhook too many: the maximum is {MAX_WEBHOOKS}. Delete some, or use --without webhooks"
            )
        if answer == "CHANGED":
            return self._keep("secret of callbacks" if line.id == CALLBACKS else f"webhook {line.id}")
        return None if answer == "OK" else "exists"

    def _batch(self, line: BatchLine) -> None:
        check_pattern(JOB_ID, line.id, "/id")
        call = self._server.queue(line.queue).import_batch(line.id, line.sealed_at, line.fields, line.jobs)
        self._server.run(call)

    def _schedule(self, line: ScheduleLine) -> str | None:
        check_name(line.name)
        definition = line.definition.encode()
        try:
            parse_spec(definition, None)
        except InvalidJob as error:
            raise InvalidLine(f"has a definition of a schedule that is invalid: {error}") from None
        found = self._stored.found(line.name)
        if found.copies:
            is_same = found.copies[0].definition == definition
            return "exists" if is_same else self._keep(f"schedule {line.name}")
        queue, version = self._server.queue(line.queue), max(line.version, found.last_changed + 1)
        if self._server.run(queue.set_schedule(line.name, definition, line.next, MOVED, least=version)) == "CHANGED":
            return self._keep(f"schedule {line.name}")
        if line.last:
            key = queue.keys.last
            self._server.run_all([Command(key, ("HSETNX", key, line.name, line.last))])
        return None

    def _request(self, line: RequestLine) -> str | None:
        if line.until <= time.time_ns() // 1_000_000:
            return "expired"
        try:
            duplicates = b64decode(line.duplicates, validate=True)
        except ValueError:
            raise InvalidLine("has 'duplicates' that are not Base64") from None
        keys = self._server.keys.for_queue(line.queue)
        until = ("NX", "PXAT", str(line.until))
        key, others = keys.idempotency(line.digest), keys.duplicates(line.digest)
        commands = [Command(key, ("SET", key, line.value, *until))]
        if duplicates:
            commands.insert(0, Command(others, ("SET", others, duplicates, *until)))
        return None if self._server.run_all(commands)[-1] is not None else "exists"

    def _api_key(self, line: ApiKeyLine) -> str | None:
        try:
            digest = bytes.fromhex(line.digest)
        except ValueError:
            digest = b""
        record = line.record.encode()
        if len(digest) != 32 or read_record(record) is None:
            raise InvalidLine("is not an API key: expected the SHA-256 of a secret, and its record")
        answer = change_keys(self._server, [Change(digest, b"", record)])
        if answer == "FULL":
            raise InvalidLine(f"is one API key too many: the maximum is {MAX_KEYS}. Revoke some, or use --without keys")
        return "exists" if answer == "CHANGED" else None

    def _keep(self, what: str) -> str:
        self._result.kept.append(what)
        return "kept"
