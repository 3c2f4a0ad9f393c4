"""`gopherctl webhooks`: only the secret is on stdout, and lists never have it."""

import msgspec

from gopher.queue.webhooks import note_delivery


def test_a_webhook_is_created_shown_tested_rotated_and_deleted(run, client):
    made = run("webhooks", "create", "--url", "https://example.com/hook?token=1", "--event", "failed", "-t", "email")
    secret = made.out.strip()
    assert (made.code, secret[:6]) == (0, "whsec_")
    (view,) = run("webhooks", "--json").json["webhooks"]
    assert (view["events"], view["types"]) == (["failed"], ["email"])
    webhook_id = view["webhook_id"]
    assert "type email" in run("webhooks").out
    job_id = run("webhooks", "test", webhook_id).out.strip()
    assert [each["job_id"] for each in run("webhooks", "deliveries", webhook_id, "--json").json["deliveries"]] == [
        job_id
    ]
    client.cancel(job_id)
    assert run("webhooks", "redeliver", job_id).out.strip() != job_id
    assert run("webhooks", "rotate", webhook_id).out.strip() not in ("", secret)
    assert run("webhooks", "secret").out == run("webhooks", "secret").out
    note_delivery(client.server, webhook_id, "gone")
    assert "its receiver answered 410" in run("webhooks", "show", webhook_id).out
    (finding,) = [each for each in run("doctor", "--json").json["checks"] if each["name"] == "webhooks"]
    assert webhook_id in msgspec.json.encode(finding).decode()
    assert run("webhooks", "enable", webhook_id).out == f"{webhook_id} is enabled\n"
    assert run("webhooks", "delete", webhook_id).code == 0
    assert run("webhooks", "show", webhook_id).code == 1


def test_submit_takes_a_callback_as_a_url_or_as_json(run, client):
    for callback in ("https://example.com/a", '{"url": "https://example.com/a", "events": ["failed"]}'):
        done = run(
            "submit", "-t", "email", "-p", '{"to": "a@example.com", "subject": "", "body": ""}', "--callback", callback
        )
        assert done.code == 0, done.err
        assert client.job(done.out.strip()).callback.url == "https://example.com/a"
    wrong = run("submit", "-t", "email", "--callback", "{}")
    assert (wrong.code, "--callback" in wrong.err) == (2, True)
