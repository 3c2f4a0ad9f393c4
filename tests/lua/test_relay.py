"""relay: what the ends of jobs tell in other queues, posted in one step with the end."""

import pytest

from gopher.queue.moves import AGAIN_AFTER
from tests.lua.lab import failure, new_job

TELLS = ("count mails b1",)


def posted(lab, to="mails"):
    """Return kind, what it is about, state and round of each entry for a queue."""
    return [(kind, about, state, number) for kind, about, _, state, number, _ in lab.posted(to)]


def complete(lab, **options):
    lab.seed_completed(**options)


def die(lab, **options):
    lab.seed_failed(**options)


def cancel_waiting(lab, **options):
    lab.run(lab.queue.cancel(lab.enqueue(**options)))


def cancel_running(lab, **options):
    job = lab.seed_processing(**options)
    lab.run(lab.queue.cancel(job.id))
    assert lab.run(lab.queue.cancelled("w1", job.id, job.token, b"{}", b"")) == "OK"


def cancel_then_requeue(lab, **options):
    job = lab.seed_processing(**options)
    lab.run(lab.queue.cancel(job.id))
    assert lab.run(lab.queue.requeue("w1", job.id, job.token)) == "OK"


def cancel_then_lose(lab, **options):
    job = lab.seed_processing(**options)
    lab.run(lab.queue.cancel(job.id))
    lab.lose()


def lose_too_often(lab, **options):
    job = lab.seed_processing(**options)
    lab.redis.hset(lab.keys.job(job.id), "lost", 9)
    lab.lose()


def expire(lab, **options):
    lab.enqueue(expires="+1000", **options)
    lab.pass_time(2)
    lab.hire()
    assert lab.fetch() == []


def fail_with_a_parent(lab, **options):
    parent = lab.seed_processing()
    lab.enqueue(after=(parent.id,), **options)
    assert lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError")) == "OK"


def fail_at_once_with_a_parent(lab, **options):
    lab.enqueue(after=(lab.seed_failed(),), **options)


def purge(lab, **options):
    lab.enqueue(**options)
    assert lab.run(lab.queue.purge("pending")).jobs == 1


@pytest.mark.parametrize(
    ("end", "state", "number"),
    [
        (complete, "completed", 0),
        (die, "failed", 1),
        (cancel_waiting, "cancelled", 0),
        (cancel_running, "cancelled", 0),
        (cancel_then_requeue, "cancelled", 0),
        (cancel_then_lose, "cancelled", 0),
        (lose_too_often, "failed", 1),
        (expire, "expired", 0),
        (fail_with_a_parent, "failed", 1),
        (fail_at_once_with_a_parent, "failed", 1),
        (purge, "deleted", 0),
    ],
)
@pytest.mark.parametrize("retention", [None, 0.0])
def test_every_end_of_a_job_is_posted_once(lab, end, state, number, retention):
    end(lab, tells=TELLS, retention=retention)
    assert posted(lab) == [("count", "b1", state, number)]
    assert lab.alarm() is not None


def test_a_dead_letter_that_is_redriven_posts_that_and_its_next_end_in_order(lab):
    job_id = lab.seed_failed(tells=TELLS)
    lab.run_twice(lab.queue.redrive([job_id]))
    (job,) = lab.fetch()
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    assert [(state, number) for *_, state, number in posted(lab)] == [("failed", 1), ("pending", 2), ("failed", 3)]


@pytest.mark.parametrize("way", ["discard", "purge", "prune"])
def test_a_dead_letter_that_is_deleted_has_told_its_end_already(lab, way):
    job_id = lab.seed_failed(tells=TELLS)
    calls = {
        "discard": lab.queue.discard([job_id]),
        "purge": lab.queue.purge("failed"),
        "prune": lab.queue.prune(0, 3600.0, 0),
    }
    lab.run(calls[way])
    assert lab.record(job_id) == {}
    assert [state for *_, state, _ in posted(lab)] == ["failed"]


def test_a_job_without_anything_to_tell_posts_nothing(lab):
    lab.seed_completed()
    lab.seed_failed(limit_key="k")
    assert not lab.redis.exists(lab.keys.outboxes)


def test_entries_stay_until_they_are_removed_and_are_taken_by_one_call_at_a_time(lab):
    lab.seed_completed(tells=("count mails b1", "count files b2"))
    taken = lab.run(lab.queue.relay())
    assert {to: len(entries) for to, entries in taken.entries.items()} == {"mails": 1, "files": 1}
    assert taken.next_due == lab.now + AGAIN_AFTER * 1000
    assert lab.run(lab.queue.relay()).entries == {}
    lab.pass_time(AGAIN_AFTER)
    assert lab.run(lab.queue.relay()).entries == taken.entries


def test_each_call_takes_a_limited_number_of_each_queue(lab):
    lab.run(lab.queue.enqueue([new_job(tells=TELLS) for _ in range(5)]))
    lab.run(lab.queue.purge("pending"))
    taken = lab.run(lab.queue.relay(entries=3)).entries["mails"]
    assert len(taken) == 3
    assert lab.run(lab.queue.relayed("mails", taken)) == 2
    assert len(lab.run(lab.queue.relay(entries=3)).entries["mails"]) == 2


def test_a_queue_waits_for_what_it_has_to_deliver(lab):
    lab.run(lab.queue.enqueue([new_job(tells=TELLS)]))
    lab.run(lab.queue.purge("pending"))
    survey = lab.run(lab.queue.survey())
    assert (survey.holds, survey.next_due) == (True, lab.now)
    assert lab.run(lab.queue.forget()) is None


def test_a_key_of_another_type_does_not_block_the_others(lab):
    lab.seed_completed(tells=("count mails b1", "count files b2"))
    lab.redis.delete(lab.keys.outbox("mails"))
    lab.redis.set(lab.keys.outbox("mails"), "x")
    assert list(lab.run(lab.queue.relay()).entries) == ["files"]
