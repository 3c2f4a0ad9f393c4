"""Events reach their receivers although processes are killed again and again, and the receiver is away for a while."""

import signal

import pytest

from tests.helpers import wait_until
from tests.webhooks.conftest import QUICK, secret_of

JOBS, KILLS = 200, 4


@pytest.mark.deep
def test_each_event_arrives_while_workers_and_schedulers_are_killed(
    client, start_worker, start_scheduler, start_receiver
):
    away = []

    def answer(request):
        if len(receiver.requests) <= JOBS // 4:
            # It is away: nothing is accepted.
            away.append(request)
            request.connection.close()
        else:
            request.accept()

    receiver = start_receiver(answer)
    settings = {
        **QUICK,
        "GOPHER_WEBHOOKS_BACKOFF": ",".join(["200ms"] * 60),
        "GOPHER_WEBHOOKS_CONCURRENCY": "8",
        "WORKER_LEASE": "3s",
        "WORKER_CONCURRENCY": "4",
        "WORKER_MAX_CRASHES": "100",
    }
    made = client.webhooks.create(receiver.url, events=["completed"])
    ids = client.enqueue_many(
        [{"type": "echo", "payload": {"n": n}, "callback": {"url": receiver.url}} for n in range(JOBS)]
    )
    for kill in range(KILLS):
        worker, scheduler = start_worker(**settings), start_scheduler(**settings)
        seen = len(receiver.messages)
        wait_until(lambda seen=seen, kill=kill: len(receiver.messages) > seen or len(away) > 5 * (kill + 1), 60)
        for process in (scheduler, worker):
            process.send(signal.SIGKILL)
            process.wait()
    start_worker(**settings)
    start_scheduler(**settings)

    #: The jobs whose end was told, by whose secret the message was signed.
    arrived = {secret_of(client): set(), made.secret: set()}
    looked_at = 0

    def have_arrived():
        nonlocal looked_at
        new = receiver.messages[looked_at:]
        looked_at += len(new)
        for message in new:
            for secret, told in arrived.items():
                if _is_signed(message, secret):
                    told.add(message.data["id"])
        return all(told == set(ids) for told in arrived.values())

    wait_until(have_arrived, 240, "callbacks, and messages of the webhook")
    assert client.dead_letters.count() == 0


def _is_signed(message, secret):
    try:
        message.verified(secret)
    except Exception:  # noqa: BLE001 - the library's own
        return False
    return True
