"""The server refuses what a job brought: the job is not forgotten in the hands of a worker that lives."""

import signal

import pytest

from gopher.scripts import script
from tests.faults.load import Load
from tests.helpers import wait_until


@pytest.mark.parametrize(
    "saying", ["NOAUTH Authentication required.", "NOPERM no permissions to run evalsha", "OOM command not allowed"]
)
def test_an_outcome_that_is_refused_for_a_while_is_sent_again(proxied, saying):
    """As while a password is changed. The jobs end without another attempt."""
    before = proxied.proxy.done("inject")
    proxied.proxy.mode("inject", match=script("complete").sha, text=saying)
    with Load(proxied.address, 8) as load:
        pass
    wait_until(lambda: proxied.proxy.done("inject") >= before + 2, 10)
    proxied.proxy.mode("pass")
    proxied.wait(load.ids, 10)
    found = proxied.audit(load.accepted)
    assert found.sound, found
    assert (found.completed, found.twice) == (8, [])


def test_a_record_that_somebody_has_spoilt_takes_no_other_results_with_it(proxied):
    """Results that come together go out in one call, which the server refuses as a whole."""
    redis, keys = proxied.client.server.client, proxied.client.server.keys.of("default")
    ids = [proxied.client.enqueue("faults.work", {"seconds": 0.7}) for _ in range(4)]
    wait_until(lambda: _seen(proxied, "start", ids) == 4)
    supervisor = proxied.workers[0]
    supervisor.send(signal.SIGSTOP)
    wait_until(lambda: _seen(proxied, "end", ids) == 4)
    spoilt, *others = ids
    record = redis.dump(keys.job(spoilt))
    redis.set(keys.job(spoilt), "nonsense")
    supervisor.send(signal.SIGCONT)
    proxied.wait(others, 10)
    assert _seen(proxied, "start", others) == 3
    # For the tests that come after this one, as somebody would who finds it.
    redis.restore(keys.job(spoilt), 0, record, replace=True)


def _seen(system, event, ids):
    """Return how many of the jobs have come by an event."""
    return len({entry.job_id for entry in system.events() if entry.event == event} & set(ids))
