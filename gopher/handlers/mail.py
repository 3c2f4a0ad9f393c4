"""`email`: sends a message through the mail server of `SMTP_URL`."""

import re
import socket
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from gopher.base.printable import CONTROL
from gopher.errors import Discard
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job

if TYPE_CHECKING:
    from email.headerregistry import Address
    from email.message import EmailMessage

#: Timeout of a response of the mail server, in seconds; the job's deadline may be earlier.
ANSWER_TIME = 20.0

#: Maximum number of recipients of a message; an entry of a list may have several.
MAX_RECIPIENTS = 100

#: Characters of an envelope address: none that could end the SMTP command or start another.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")

AddressText = Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]
Addresses = AddressText | Annotated[list[AddressText], msgspec.Meta(min_length=1, max_length=MAX_RECIPIENTS)]


class HeaderRefused(Discard):
    """Raised for an invalid address, and for an address or header that could inject others."""


class SenderRefused(Discard):
    """Raised for a sender that SMTP_SENDERS does not allow."""


class Attachment(msgspec.Struct, forbid_unknown_fields=True):
    """A text attachment: name, media type and content."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    content: str
    type: Literal["text/plain", "text/html", "text/csv", "application/json"] = "text/plain"

    def __post_init__(self) -> None:
        if CONTROL.search(self.name) or "/" in self.name:
            raise ValueError("name must be a file name without folders and control characters")


class Email(msgspec.Struct, forbid_unknown_fields=True):
    """A message to send. Addresses are `ann@example.com` or `Ann Lee <ann@example.com>`, one or a list.

    `from` defaults to the `?from=` of SMTP_URL, or gopher at this host; SMTP_SENDERS allows others. With `html`, `body`
    is the plain text alternative.
    """

    to: Annotated[Addresses, msgspec.Meta(examples=["user@example.com"])]
    subject: Annotated[str, msgspec.Meta(max_length=500, examples=["Hello"])]
    body: Annotated[str, msgspec.Meta(examples=["Test email"])]
    from_: AddressText | None = msgspec.field(default=None, name="from")
    cc: Addresses | None = None
    html: str | None = None
    reply_to: AddressText | None = None
    attachments: Annotated[list[Attachment], msgspec.Meta(max_length=10)] = []

    # Not msgspec's `pattern`: inside a list it sometimes crashes Python at exit (msgspec#717).
    def __post_init__(self) -> None:
        for name in ("to", "subject", "from_", "cc", "reply_to"):
            check_one_line(name.rstrip("_"), getattr(self, name))


def check_one_line(name: str, value: str | list[str] | None) -> None:
    """Raise ValueError if an address or a header contains a line break or another control character."""
    for text in value if isinstance(value, list) else [value or ""]:
        if CONTROL.search(text):
            raise ValueError(f"{name} must be one line without control characters")


@handler("email", timeout="60s", max_retries=5)
def email(job: Job, payload: Email) -> dict[str, Any]:
    """Sends e-mail over SMTP, to one or several recipients, as text and optionally HTML."""
    from gopher.config.settings import Settings

    from .smtp import MailServer

    settings = Settings.from_env()
    server = MailServer.from_url(settings.smtp_url)
    sender = default = _one(server.sender or f"gopher@{socket.gethostname()}", "from")
    if payload.from_ is not None:
        sender = _one(payload.from_, "from")
        _check_sender(sender, {default.addr_spec.lower(), *settings.smtp_senders})
    to, cc = _parse(payload.to, "to"), _parse(payload.cc or [], "cc")
    message = _compose(job, payload, sender, to, cc)
    recipients = list(dict.fromkeys(address.addr_spec for address in (*to, *cc)))
    if len(recipients) > MAX_RECIPIENTS:
        raise HeaderRefused(f"the message has {len(recipients)} recipients: send it to at most {MAX_RECIPIENTS}")
    job.log("sending the message for %d recipients to %s", len(recipients), server.host)
    refused = server.send(message, sender.addr_spec, recipients, _time_left(job))
    for address, reason in refused.items():
        job.log("%s was rejected: %s", address, reason)
    return {
        "message_id": str(message["Message-ID"]),
        "recipients": [address for address in recipients if address not in refused],
        "refused": refused,
    }


def _check_sender(sender: "Address", allowed: set[str]) -> None:
    """Raise SenderRefused unless the address, its domain or any sender is allowed."""
    if not allowed & {sender.addr_spec.lower(), f"@{sender.domain.lower()}", "*"}:
        raise SenderRefused(f"from: {sender.addr_spec} is not an allowed sender: add it to SMTP_SENDERS to allow it")


def _compose(job: Job, payload: Email, sender: "Address", to: "list[Address]", cc: "list[Address]") -> "EmailMessage":
    from email import policy
    from email.message import EmailMessage
    from email.utils import formatdate

    message = EmailMessage(policy.SMTP.clone(cte_type="7bit"))
    headers: dict[str, Any] = {
        "From": sender,
        "To": to,
        "Cc": cc,
        "Reply-To": payload.reply_to and _one(payload.reply_to, "reply_to"),
        "Subject": payload.subject,
        "Date": formatdate(),
        # The same for each attempt of a job, so that mail programs can recognize duplicates.
        "Message-ID": f"<{job.id}@{sender.domain}>",
        "Auto-Submitted": "auto-generated",
    }
    for name, value in headers.items():
        if value or name == "Subject":
            _set(message, name, value)
    message.set_content(payload.body)
    if payload.html is not None:
        message.add_alternative(payload.html, subtype="html")
    for each in payload.attachments:
        kind, _, subtype = each.type.partition("/")
        charset = {"charset": "utf-8"} if kind == "text" else {}
        message.add_attachment(each.content.encode(), kind, subtype, filename=each.name, params=charset)
    return _checked(message)


def _set(message: "EmailMessage", name: str, value: Any) -> None:
    if isinstance(value, str) and CONTROL.search(value):
        raise HeaderRefused(f"{name} must be one line without control characters")
    try:
        message[name] = value
    except (ValueError, IndexError) as error:
        raise HeaderRefused(f"{name}: {error}") from None


def _checked(message: "EmailMessage") -> "EmailMessage":
    """Parse the finished message like a receiver, and reject headers that were not set here.

    An encoded word (`=?utf-8?q?x=0ABcc:...?=`) hides a newline from the check above, and Python before 3.11.10 and
    3.12.5 writes it unencoded (CVE-2024-6923).
    """
    from email import message_from_bytes

    if message_from_bytes(message.as_bytes()).keys() != message.keys():
        raise HeaderRefused("a header contains another header")
    return message


def _parse(texts: "Addresses | list[str]", field: str) -> "list[Address]":
    from email.errors import HeaderParseError
    from email.headerregistry import AddressHeader, HeaderRegistry

    parse: Any = HeaderRegistry(use_default_map=False, default_class=AddressHeader)
    found: list[Address] = []
    for text in [texts] if isinstance(texts, str) else texts:
        try:
            header = parse(field, text)
        except (HeaderParseError, ValueError, IndexError, AttributeError):
            raise HeaderRefused(f"{field}: {text!r} is not an address") from None
        # A defect means that the parser had to guess.
        if CONTROL.search(text) or header.defects or not header.addresses:
            raise HeaderRefused(f"{field}: {text!r} is not an address")
        found += [_ascii(address, field) for address in header.addresses]
    return found


def _one(text: str, field: str) -> "Address":
    addresses = _parse(text, field)
    if len(addresses) != 1:
        raise HeaderRefused(f"{field}: {text!r} must be one address")
    return addresses[0]


def _ascii(address: "Address", field: str) -> "Address":
    """Return the address with its domain in ASCII. Raises HeaderRefused."""
    from email.headerregistry import Address

    try:
        domain = address.domain.encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    plain = f"{address.username}@{domain}"
    if not _PLAIN_ADDRESS.fullmatch(plain) or CONTROL.search(address.display_name):
        raise HeaderRefused(f"{field}: {plain!r} is not a valid recipient address")
    return Address(address.display_name, address.username, domain)


def _time_left(job: Job) -> float:
    if job.deadline is None:
        return ANSWER_TIME
    return max(1.0, min(ANSWER_TIME, job.deadline - time.time()))
