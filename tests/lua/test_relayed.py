"""relayed: what was delivered leaves the outbox."""

from tests.lua.lab import new_job


def seed(lab, count):
    lab.run(lab.queue.enqueue([new_job(tells=("count mails b1",)) for _ in range(count)]))
    lab.run(lab.queue.purge("pending"))
    return lab.run(lab.queue.relay()).entries["mails"]


def test_it_removes_only_what_was_delivered_and_the_rest_is_due_at_once(lab):
    entries = seed(lab, 3)
    left, again = lab.run_twice(lab.queue.relayed("mails", entries[:2]))
    assert (left, again) == (1, 1)
    assert lab.run(lab.queue.relay()).entries == {"mails": entries[2:]}


def test_nothing_is_left_of_an_empty_outbox(lab):
    entries = seed(lab, 2)
    assert lab.run_twice(lab.queue.relayed("mails", entries)) == (0, 0)
    assert not lab.redis.exists(lab.keys.outbox("mails"), lab.keys.outboxes)
