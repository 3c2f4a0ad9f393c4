"""The server refuses what a job brought: the job is not forgotten in the hands of a worker that lives."""

import signal

import pytest

from gopher.scripts import script
from tests.faults.lab import System
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


@pytest.fixture
def spoilt_system(seed):
    """A system of its own: what a spoilt record has a script leave by half is not mended."""
    with System(workers=1, api=0, seed=seed) as running:
        yield running


def test_a_record_that_somebody_has_spoilt_takes_no_other_results_with_it(spoilt_system):
    """Results that come together go out in one call."""
    client, supervisor = spoilt_system.client, spoilt_system.workers[0]
    ids = [client.enqueue("faults.work", {"seconds": 0.7}) for _ in range(4)]
    wait_until(lambda: _seen(spoilt_system, "start", ids) == 4)
    supervisor.send(signal.SIGSTOP)
    wait_until(lambda: _seen(spoilt_system, "end", ids) == 4)
    spoilt, *others = ids
    client.server.client.set(client.server.keys.of("default").job(spoilt), "nonsense")
    supervisor.send(signal.SIGCONT)
    wait_until(lambda: {client.inspector.state("default", job_id) for job_id in others} == {"completed"}, 10)
    assert len(spoilt_system.events()) == 8


def _seen(system, event, ids):
    """Return how many of the jobs have come by an event."""
    return len({entry.job_id for entry in system.events() if entry.event == event} & set(ids))
