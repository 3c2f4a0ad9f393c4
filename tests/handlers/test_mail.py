"""Mail handed in to a real SMTP server, and what is never handed in."""

import smtplib
import socket
import time
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from gopher.errors import ConfigurationError, Discard, InvalidJob
from gopher.handlers.mail import Email as Payload
from gopher.handlers.mail import HeaderRefused, email
from gopher.handlers.smtp import MailFailed, MailRefused, MailServer
from gopher.jobs.job import Job, new_job_id
from tests.handlers.conftest import Mailbox, Recorder

HELLO = {"to": "ann@example.com", "subject": "Hello", "body": "Test email"}


def test_delivers_a_message(run: Any, mailbox: Mailbox) -> None:
    job = Job(id=new_job_id(), type="email")
    result = run("email", HELLO, job)
    assert result == {"message_id": f"<{job.id}@example.com>", "recipients": ["ann@example.com"], "refused": {}}
    ((sender, recipients, _),) = mailbox.messages
    assert (sender, recipients) == ("robot@example.com", ["ann@example.com"])
    message = mailbox.only_message()
    assert message["From"] == "robot@example.com"
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "Hello"
    assert message["Message-ID"] == result["message_id"]
    assert parsedate_to_datetime(message["Date"])
    assert message.get_content().strip() == "Test email"


def test_gives_each_attempt_of_a_job_the_same_message_id(run: Any, mailbox: Mailbox) -> None:
    job_id = new_job_id()
    first, second = (run("email", HELLO, Job(id=job_id, type="email", attempt=n)) for n in (1, 2))
    assert first["message_id"] == second["message_id"]


def test_delivers_to_many_with_text_and_html(run: Any, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_SENDERS", "gopher@example.org")
    payload = {
        "to": ["Ann Lee <ann@example.com>", '"Bo, the second" <bo@example.com>'],
        "cc": "Çelik Ünal <unal@bücher.example>, ann@example.com",
        "from": "Gopher <gopher@example.org>",
        "reply_to": "help@example.org",
        "subject": "Grüße aus 東京 " + "x" * 200,
        "body": "Zeile eins\nZeile zwei: ä€𝄞",
        "html": "<p>Zeile <b>eins</b></p>",
    }
    result = run("email", payload)
    everybody = ["ann@example.com", "bo@example.com", "unal@xn--bcher-kva.example"]
    assert result["recipients"] == everybody
    ((sender, recipients, content),) = mailbox.messages
    assert (sender, recipients) == ("gopher@example.org", everybody)
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    message = mailbox.only_message()
    assert [address.display_name for address in message["To"].addresses] == ["Ann Lee", "Bo, the second"]
    assert message["Cc"].addresses[0].display_name == "Çelik Ünal"
    assert message["Reply-To"] == "help@example.org"
    assert message["Subject"] == payload["subject"]
    text, html = message.iter_parts()
    assert text.get_content().splitlines() == ["Zeile eins", "Zeile zwei: ä€𝄞"]
    assert html.get_content().strip() == payload["html"]


@pytest.mark.parametrize(
    ("senders", "sender"),
    [
        ("", "CEO <ceo@bigbank.example>"),
        ("", "gopher@evil.example"),
        ("shop@example.com", "shop@example.com.evil.example"),
        ("shop@example.com", "other@example.com"),
        ("@example.com", "shop@sub.example.com"),
        ("@example.com", "shop@notexample.com"),
        ("@example.com", '"shop@example.com" <ceo@bigbank.example>'),
    ],
)
def test_sends_from_no_other_sender_than_those_that_are_allowed(
    run: Any, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, senders: str, sender: str
) -> None:
    monkeypatch.setenv("SMTP_SENDERS", senders)
    with pytest.raises(Discard, match="is not an allowed sender: add it to SMTP_SENDERS"):
        run("email", {**HELLO, "from": sender})
    assert mailbox.messages == []


@pytest.mark.parametrize(
    ("senders", "sender"),
    [
        ("shop@example.com, @news.example", "Shop <Shop@Example.com>"),
        ("@example.com", "anyone@EXAMPLE.com"),
        ("*", "ceo@bigbank.example"),
        ("@xn--bcher-kva.example", "shop@bücher.example"),
    ],
)
def test_sends_from_an_allowed_sender(
    run: Any, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, senders: str, sender: str
) -> None:
    monkeypatch.setenv("SMTP_SENDERS", senders)
    run("email", {**HELLO, "from": sender})
    assert len(mailbox.messages) == 1


def test_sends_from_the_default_sender_with_any_name(run: Any, mailbox: Mailbox) -> None:
    run("email", {**HELLO, "from": "The robot <Robot@example.com>"})
    assert mailbox.only_message()["From"].addresses[0].display_name == "The robot"


def test_has_a_maximum_number_of_recipients_however_they_are_listed(run: Any, mailbox: Mailbox) -> None:
    to = [", ".join(f"a{number}@b.example" for number in range(50)), *(f"c{number}@d.example" for number in range(51))]
    with pytest.raises(Discard, match="has 101 recipients"):
        run("email", {**HELLO, "to": to})
    assert mailbox.messages == []


@pytest.mark.parametrize("end", ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n"])
def test_does_not_let_a_body_end_itself(run: Any, mailbox: Mailbox, end: str) -> None:
    """SMTP smuggling: what follows a dot on its own line must stay text."""
    body = f"before{end}MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nafter"
    run("email", {**HELLO, "body": body})
    assert len(mailbox.messages) == 1
    lines = mailbox.only_message().get_content().splitlines()
    assert lines == ["before", ".", "MAIL FROM:<evil@example.com>", "RCPT TO:<victim@example.com>", "DATA", "after"]


BREAKS = ["\n", "\r", "\r\n", "\0", "\x0b", "\x1b", "\x85", "\u2028"]


@pytest.mark.parametrize("field", ["to", "subject", "from", "cc", "reply_to"])
@pytest.mark.parametrize("broken", BREAKS, ids=repr)
def test_refuses_a_field_of_more_than_one_line_at_once(run: Any, mailbox: Mailbox, field: str, broken: str) -> None:
    for value in (
        f"ann@example.com{broken}Bcc: evil@example.com",
        f"{broken}ann@example.com",
        f"ann@example.com{broken}",
    ):
        with pytest.raises(InvalidJob, match=f"{field} must be one line"):
            run("email", {**HELLO, field: value})
    assert mailbox.messages == []


ADDRESSES = [
    "no address",
    "@example.com",
    "ann@",
    "ann@@example.com",
    "ann@example.com>",
    "<ann@example.com",
    "ann@example.com> SIZE=1",
    "Ann <ann@example.com> NOTIFY=NEVER",
    "<ann@example.com> <bo@example.com>",
    '"ann\\@x"@example.com',
    '"a b"@example.com',
    "ann@[127.0.0.1]",
    "ann@exa mple.com",
    "ann@-example.com",
    "änn@example.com",
    "=?utf-8?q?ann=40example.com=0ABcc:_evil=40example.com?=",
    "a@b.example,,,;",
    "team:;",
    "ann@example.com, not an address",
    "ann@" + "x" * 300 + ".example",
]


@pytest.mark.parametrize("field", ["to", "from", "cc", "reply_to"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_refuses_an_invalid_address(run: Any, mailbox: Mailbox, field: str, address: str) -> None:
    with pytest.raises(Discard):
        run("email", {**HELLO, field: address})
    assert mailbox.messages == []


HIDDEN = "=?utf-8?q?Hello=0ABcc:_evil=40example.com=0A=0Abody?="


@pytest.mark.parametrize(
    "change",
    [{"subject": HIDDEN}, {"to": f"{HIDDEN} <ann@example.com>"}, {"reply_to": f"{HIDDEN} <ann@example.com>"}],
    ids=["subject", "to", "reply_to"],
)
def test_lets_no_header_out_of_an_encoded_word(run: Any, mailbox: Mailbox, change: dict[str, str]) -> None:
    """CVE-2024-6923: some versions of Python write the newline out. Refused, or sent as a harmless text."""
    try:
        run("email", HELLO | change)
    except Discard:
        assert mailbox.messages == []
        return
    ((_, recipients, content),) = mailbox.messages
    assert recipients == ["ann@example.com"]
    assert "Bcc" not in message_from_bytes(content, policy=policy.default)
    assert mailbox.only_message().get_content().strip() == "Test email"


def test_refuses_line_breaks_also_when_nothing_checked_the_payload(mailbox: Mailbox) -> None:
    payload = Payload(to="ann@example.com", subject="Hello", body="")
    payload.subject = "Hello\nBcc: evil@example.com"
    with pytest.raises(HeaderRefused, match="Subject must be one line"):
        email(Job(id=new_job_id(), type="email"), payload)
    payload = Payload(to="ann@example.com", subject="Hello", body="")
    payload.to = "ann@example.com\n"
    with pytest.raises(HeaderRefused, match="is not an address"):
        email(Job(id=new_job_id(), type="email"), payload)


def test_takes_a_5xx_answer_as_final(run: Any, mailbox: Mailbox) -> None:
    mailbox.answers["DATA"] = "554 5.7.1 looks like spam"
    with pytest.raises(MailRefused, match=r"554 5\.7\.1 looks like spam") as caught:
        run("email", HELLO)
    assert isinstance(caught.value, Discard)


def test_takes_a_4xx_answer_as_passing(run: Any, mailbox: Mailbox) -> None:
    mailbox.answers["DATA"] = "452 4.3.1 disk full"
    with pytest.raises(MailFailed, match="452") as caught:
        run("email", HELLO)
    assert not isinstance(caught.value, Discard)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"ann@example.com": "550 no such user", "bo@example.com": "553 nor this"}, MailRefused),
        ({"ann@example.com": "550 no such user", "bo@example.com": "450 greylisted"}, MailFailed),
    ],
)
def test_fails_when_every_recipient_is_refused(
    run: Any, mailbox: Mailbox, answers: dict[str, str], expected: type[Exception]
) -> None:
    mailbox.answers |= answers
    with pytest.raises(expected, match="no such user"):
        run("email", {**HELLO, "to": ["ann@example.com", "bo@example.com"]})


def test_names_the_refused_among_several(run: Any, mailbox: Mailbox, recorder: Recorder) -> None:
    """Sent to some, so a retry would send to them again: the job is done and says who is missing."""
    mailbox.answers["bo@example.com"] = "550 no such user"
    job = Job(id=new_job_id(), type="email", reporter=recorder)
    result = run("email", {**HELLO, "to": ["ann@example.com", "bo@example.com"]}, job)
    assert result["recipients"] == ["ann@example.com"]
    assert result["refused"] == {"bo@example.com": "550 no such user"}
    assert recorder.lines[-1] == "bo@example.com was rejected: 550 no such user"


def test_retries_when_the_connection_is_refused(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ConnectionRefusedError):
            run("email", HELLO)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://localhost", MailServer("localhost", 25, tls=False, starttls=False)),
        ("smtp://localhost:587", MailServer("localhost", 587, tls=False, starttls=True)),
        ("smtp://localhost:587?starttls=0", MailServer("localhost", 587, tls=False, starttls=False)),
        ("smtp://mx.example?starttls=1", MailServer("mx.example", 25, tls=False, starttls=True)),
        ("smtps://mx.example", MailServer("mx.example", 465, tls=True, starttls=False)),
        (
            "smtps://ann%40x:p%3Aw@mx.example?from=a@b.example",
            MailServer("mx.example", 465, True, False, "ann@x", "p:w", "a@b.example"),
        ),
    ],
)
def test_reads_the_url_of_a_mail_server(url: str, expected: MailServer) -> None:
    assert MailServer.from_url(url) == expected


def test_refuses_to_send_a_password_in_the_clear() -> None:
    with pytest.raises(ConfigurationError, match=r"in the clear to mx\.example"):
        MailServer.from_url("smtp://ann:secret@mx.example")
    assert MailServer.from_url("smtp://ann:secret@localhost").password == "secret"
    assert MailServer.from_url("smtp://ann:secret@mx.example?starttls=0").password == "secret"


def test_demands_starttls_when_told(run: Any, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """This server has none: no message goes out in the clear."""
    import os

    monkeypatch.setenv("SMTP_URL", os.environ["SMTP_URL"] + "&starttls=1")
    with pytest.raises(smtplib.SMTPNotSupportedError):
        run("email", HELLO)
    assert mailbox.messages == []


def test_waits_for_a_silent_server_no_longer_than_the_job_may_run(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            run("email", HELLO, Job(id=new_job_id(), type="email", deadline=time.time() + 0.1))
        assert time.monotonic() - began < 8


def test_sends_files_along(run: Any, mailbox: Mailbox) -> None:
    files = [
        {"name": "Grüße.html", "type": "text/html", "content": "<p>ä</p>"},
        {"name": "figures.json", "type": "application/json", "content": "[1]"},
        {"name": "plain.txt", "content": "text\n"},
    ]
    run("email", {**HELLO, "html": "<p>Hello</p>", "attachments": files})
    message = mailbox.only_message()
    assert message.get_body(("html",)).get_content().strip() == "<p>Hello</p>"
    attached = list(message.iter_attachments())
    assert [part.get_filename() for part in attached] == ["Grüße.html", "figures.json", "plain.txt"]
    assert attached[0].get_content() == "<p>ä</p>"
    assert attached[1].get_content() == b"[1]"
    assert attached[2].get_content() == "text\n"


@pytest.mark.parametrize("name", ["", "a/b", "a\r\nBcc: eve@example.com", "../../etc", "x" * 101])
def test_refuses_files_whose_name_says_more_than_a_name(run: Any, name: str) -> None:
    with pytest.raises(InvalidJob, match="/payload/attachments"):
        run("email", {**HELLO, "attachments": [{"name": name, "content": ""}]})
