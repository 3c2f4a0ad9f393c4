"""Sends mail through the server of `SMTP_URL`; distinguishes permanent and temporary rejections."""

import contextlib
import smtplib
import ssl
from email.message import EmailMessage
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from gopher.errors import ConfigurationError, Discard

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: The submission port, which requires STARTTLS (RFC 6409, RFC 8314).
_SUBMISSION = 587


class MailRefused(Discard):
    """Raised when the mail server permanently rejects a message (a 5xx response)."""


class MailFailed(Exception):
    """Raised when the mail server temporarily rejects a message (a 4xx response)."""


class MailServer(msgspec.Struct, frozen=True):
    """The mail server, and how to connect to it.

    `smtp://host` is port 25 without TLS, `smtps://host` port 465 with TLS. STARTTLS is required on port 587, and
    elsewhere with `?starttls=1`; `?starttls=0` disables it. A password is sent without TLS only to this machine, or
    with `starttls=0`. `?from=a@b.example` is the default sender.
    """

    host: str
    port: int
    tls: bool
    starttls: bool
    user: str = ""
    password: str = ""
    sender: str = ""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Parse an `SMTP_URL`. Raises ConfigurationError."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        tls = parts.scheme == "smtps"
        port = parts.port or (465 if tls else 25)
        starttls = options.get("starttls", "1" if port == _SUBMISSION and not tls else "0") == "1"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        host = parts.hostname or "localhost"
        if user and not (tls or starttls or host in _LOOPBACK or "starttls" in options):
            raise ConfigurationError(
                f"SMTP_URL would send a password in the clear to {host}: use smtps:// or ?starttls=1"
            )
        return cls(host, port, tls, starttls, user, password, options.get("from", ""))

    def send(self, message: EmailMessage, sender: str, recipients: list[str], timeout: float) -> dict[str, str]:
        """Send a message; return rejected recipients with reasons if others were accepted.

        Raises MailRefused, MailFailed, or what the connection raises (OSError, smtplib.SMTPException).
        """
        try:
            refused = self._deliver(message, sender, recipients, timeout)
        except smtplib.SMTPRecipientsRefused as error:
            raise _all_refused(error.recipients) from error
        except smtplib.SMTPResponseException as error:
            reason = f"{self.host} answered {error.smtp_code} {_text(error.smtp_error)}"
            raise (MailRefused if error.smtp_code >= 500 else MailFailed)(reason) from error
        return {address: f"{code} {_text(text)}" for address, (code, text) in refused.items()}

    def _deliver(
        self, message: EmailMessage, sender: str, recipients: list[str], timeout: float
    ) -> dict[str, tuple[int, bytes]]:
        connection = self._connect(timeout)
        try:
            if self.starttls:
                connection.starttls(context=ssl.create_default_context())
            if self.user:
                connection.login(self.user, self.password)
            refused = connection.sendmail(sender, recipients, message.as_bytes())
            # The message was accepted: a failing QUIT must not send it again.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.quit()
            return refused
        finally:
            connection.close()

    def _connect(self, timeout: float) -> smtplib.SMTP:
        if self.tls:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=timeout, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=timeout)


def _all_refused(recipients: dict[str, tuple[int, bytes]]) -> Exception:
    reasons = "; ".join(f"{address}: {code} {_text(text)}" for address, (code, text) in recipients.items())
    final = all(code >= 500 for code, _ in recipients.values())
    return (MailRefused if final else MailFailed)(f"all recipients were rejected: {reasons}")


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
