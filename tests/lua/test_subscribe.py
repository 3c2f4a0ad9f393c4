"""subscribe: which ends of jobs webhooks are told of; and that these ends are told, as those of callbacks."""

import msgspec
import pytest

from gopher.queue.arguments import Completion, as_usage
from tests.lua import test_relay as ends

CALLBACK = "completed,failed,cancelled,expired https://example.com/hook result"
EVERY_END = [
    (ends.complete, "completed"),
    (ends.die, "failed"),
    (ends.cancel_waiting, "cancelled"),
    (ends.cancel_running, "cancelled"),
    (ends.cancel_then_requeue, "cancelled"),
    (ends.cancel_then_lose, "cancelled"),
    (ends.lose_too_often, "failed"),
    (ends.expire, "expired"),
    (ends.fail_with_a_parent, "failed"),
    (ends.fail_at_once_with_a_parent, "failed"),
]


def told(lab):
    """Return the entries for webhooks without id and time: callback, state, whether it is subscribed, type, ..."""
    rows = [msgspec.msgpack.decode(row) for row in lab.redis.lrange(lab.keys.outbox("@webhooks"), 0, -1)]
    return [(row[1], row[3], *row[6:]) for row in rows]


def subscribe(lab, version=1, **wanted):
    return lab.run(lab.queue.subscribe(version, {name: f",{states}," for name, states in wanted.items()}))


def test_a_newer_subscription_replaces_an_older_one_and_never_the_other_way_round(lab):
    assert lab.run_twice(lab.queue.subscribe(2, {"*": ",failed,"})) == (True, True)
    assert not subscribe(lab, 1, email="completed")
    assert lab.redis.hgetall(lab.keys.subscribed) == {b"version": b"2", b" *": b",failed,"}
    assert subscribe(lab, 3)
    assert not lab.redis.exists(lab.keys.subscribed)


@pytest.mark.parametrize(("end", "state"), EVERY_END)
@pytest.mark.parametrize("retention", [None, 0.0])
def test_every_end_of_a_job_is_told_its_callback_once(lab, end, state, retention):
    end(lab, callback=CALLBACK, retention=retention)
    ((callback, told_state, subscribed, job_type, _, error, envelope, result, tenant),) = told(lab)
    assert (callback, told_state, subscribed, job_type, envelope) == (CALLBACK, state, 0, "email", '{"payload":{}}')
    assert (bool(error), tenant) == (state == "failed", "")
    # What the record would not have any more.
    assert result == ("1" if (state, retention) == ("completed", 0.0) else "")


@pytest.mark.parametrize("result", [b"", b'"done"'])
def test_the_result_of_a_job_that_is_not_kept_is_told_and_nothing_else_in_its_place(lab, result):
    job = lab.seed_processing(callback=CALLBACK, retention=0.0)
    done = Completion(job.id, job.token, 12.5, result, b"", as_usage(12.5, 0.25, 44040192))
    assert lab.run(lab.queue.complete("w1", [done])) == ["OK"]
    ((*_, told_result, _),) = told(lab)
    assert told_result == result.decode()


@pytest.mark.parametrize(("end", "state"), EVERY_END)
def test_every_end_of_a_plain_job_is_told_what_subscribes_to_it(lab, end, state):
    subscribe(lab, **{"email": "completed,failed,cancelled,expired", "*": "nothing"})
    end(lab)
    assert (("", state, 1, "email"),) == tuple(row[:4] for row in told(lab) if row[1] == state)[-1:]


@pytest.mark.parametrize(
    ("wanted", "count"), [({"email": "completed"}, 1), ({"sms": "completed"}, 0), ({"*": "failed"}, 0)]
)
@pytest.mark.parametrize("log", [b"", b"[]"])
def test_a_completion_is_told_of_types_and_states_that_are_subscribed_to(lab, wanted, count, log):
    subscribe(lab, **wanted)
    lab.complete(lab.seed_processing(), log=log)
    assert len(told(lab)) == count


def test_the_completion_of_a_job_with_options_is_told_too(lab):
    subscribe(lab, email="completed")
    lab.seed_completed(expires="+60000")
    assert len(told(lab)) == 1


def test_deliveries_are_not_told_themselves(lab):
    subscribe(lab, **{"*": "completed"})
    lab.seed_completed(job_type="gopher.webhook")
    assert told(lab) == []


def test_of_a_long_envelope_the_record_is_read(lab):
    lab.seed_completed(callback=CALLBACK, envelope=b'{"payload":{"text":"%s"}}' % (b"x" * 5000))
    assert told(lab)[0][-2:] == ("", "")


def test_a_plain_completion_runs_the_same_commands_with_and_without_subscriptions_of_other_types(lab):
    def commands():
        job = lab.seed_processing()
        before = lab.redis.info("commandstats")
        lab.complete(job)
        after = lab.redis.info("commandstats")
        names = set(after) - {"cmdstat_info"}
        return {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in names}

    without = {name: calls for name, calls in commands().items() if calls}
    subscribe(lab, sms="completed")
    assert {name: calls for name, calls in commands().items() if calls} == without
