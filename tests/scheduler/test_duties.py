"""What each duty asks for, and when it wants to look again. Times are monotonic seconds; the server's are Unix ms."""

import pytest
from gopher.scheduler.duties import LIMIT, LONGEST_SLEEP, Promoter, Pruner, Rescuer

from gopher.config.settings import Settings
from gopher.queue.keys import Keys
from gopher.queue.moves import Queue
from gopher.queue.replies import Promoted, Pruned, Rescued
from gopher.server.loop_connection import ALL_BACK

NOW = 1000.0
SERVER_NOW = 1_790_000_000_000


@pytest.fixture
def queue():
    return Queue(Keys("test").for_queue("mails"))


def promoted(moved=0, next_due=None):
    return Promoted(moved, next_due, SERVER_NOW)


def test_the_promoter_sleeps_until_the_next_job_is_due(queue):
    assert Promoter(queue).took(promoted(3, SERVER_NOW + 1234), NOW) == pytest.approx(NOW + 1.234, abs=0.001)


def test_the_promoter_does_not_wake_before_the_job_is_due(queue):
    assert Promoter(queue).took(promoted(0, SERVER_NOW + 1), NOW) > NOW + 0.001


def test_the_promoter_looks_at_once_for_what_became_due_meanwhile(queue):
    assert Promoter(queue).took(promoted(1, SERVER_NOW - 50), NOW) == pytest.approx(NOW, abs=0.001)


def test_the_promoter_continues_at_once_while_a_call_is_full(queue):
    assert Promoter(queue).took(promoted(LIMIT, SERVER_NOW + 60_000), NOW) == NOW
    assert Promoter(queue).took(promoted(LIMIT, None), NOW) == NOW


@pytest.mark.parametrize("next_due", [None, SERVER_NOW + 3_600_000])
def test_the_promoter_looks_every_few_seconds_in_case_an_alarm_got_lost(queue, next_due):
    assert Promoter(queue).took(promoted(0, next_due), NOW) == NOW + LONGEST_SLEEP


def rescued(step=None, returned=0, died=0, workers=()):
    return Rescued(step, SERVER_NOW, returned, died, list(workers))


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock that the rescuer looks at."""
    return lambda now: monkeypatch.setattr("time.clock_gettime", lambda _clock: now)


def limits(rescuer, clock, times):
    """Return how many jobs calls that are sent at these times may rescue; each has its reply at once."""
    found = []
    for now in times:
        clock(now)
        found.append(int(rescuer.call(now).command()[4]))
        rescuer.took(rescued(), now)
    return found


@pytest.mark.parametrize(("lease", "period"), [(30.0, 5.0), (6.0, 1.0), (1.5, 0.5), (3600.0, 5.0)])
def test_the_rescuer_looks_six_times_a_lease_within_bounds(queue, lease, period, clock):
    rescuer = Rescuer(queue, lease)
    limits(rescuer, clock, [NOW + number * period for number in range(20)])
    assert rescuer.took(rescued(), NOW) == NOW + period


def test_the_rescuer_reports_the_time_since_its_last_call_so_that_a_changed_clock_is_noticed(queue, clock):
    rescuer = Rescuer(queue, 30.0)
    clock(NOW)
    assert rescuer.call(NOW).command()[-3:] == ("", "", "")
    clock(NOW + 0.2)
    rescuer.took(rescued(), NOW + 0.2)
    call = rescuer.call(NOW + 5.2)
    # The server was away meanwhile: what counts is when the call is sent.
    clock(NOW + 65.2)
    assert call.command()[-3:] == (str(SERVER_NOW), "65200", "65000")


def test_the_rescuer_forgets_its_last_look_once_the_clock_was_set(queue):
    rescuer = Rescuer(queue, 30.0)
    rescuer.took(rescued(), NOW)
    assert rescuer.took(rescued(step=3_600_000), NOW + 5) == NOW + 5
    assert rescuer.call(NOW + 5).arguments[-3:] == ("", "", "")


def test_the_rescuer_rescues_no_jobs_after_its_calls_were_refused_for_a_while(queue, clock):
    """Workers whose heartbeats were refused as well may need a moment longer."""
    rescuer = Rescuer(queue, 30.0)
    assert limits(rescuer, clock, [0, 5, 10])[-1] == LIMIT
    clock(15)
    later = rescuer.call(15)
    clock(17)
    # A server that has restarted may have forgotten the last heartbeats.
    assert later.command()[4] == "0"
    assert rescuer.took(rescued(), 17) == 22
    clock(22)
    assert rescuer.call(22).command()[4] == "0"
    assert rescuer.took(rescued(), 22) == 17 + ALL_BACK
    assert limits(rescuer, clock, [17 + ALL_BACK]) == [LIMIT]


def test_the_rescuer_waits_again_for_workers_when_the_server_was_gone_again(queue, clock):
    """Although the call that finds it back was made just before that."""
    rescuer = Rescuer(queue, 4.0)
    period = 4.0 / 6
    found = limits(rescuer, clock, [0, period, 4.5, 4.5 + period, 9, 9 + period, 12, 13.1, 14.2])
    assert found == [0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert limits(rescuer, clock, [15.9, 16.1]) == [0, LIMIT]


def test_a_short_stall_of_the_scheduler_delays_no_rescue(queue, clock):
    assert limits(Rescuer(queue, 30.0), clock, [0, 5, 10, 24]) == [0, 0, LIMIT, LIMIT]


def test_a_rescuer_that_has_just_begun_gives_workers_time_to_come_back(queue, clock):
    """It can't know how long nobody could reach the server."""
    assert limits(Rescuer(queue, 30.0), clock, [1000, 1005, 1006]) == [0, 0, LIMIT]


def test_the_rescuer_continues_at_once_while_a_call_is_full(queue):
    assert Rescuer(queue, 30.0).took(rescued(returned=LIMIT - 1, died=1, workers=["w"]), NOW) == NOW


@pytest.fixture
def pruner(queue):
    return Pruner(queue, Settings(dead_ttl=60.0, dead_max=7))


def test_the_pruner_asks_with_the_limits_of_the_settings(pruner):
    assert pruner.call(NOW).arguments == (str(Pruner.LIMIT), "0", "60000", "7")


def test_the_pruner_continues_from_where_it_was(pruner):
    assert pruner.took(Pruned(3, 997, 0, 0), NOW) == NOW + Pruner.PERIOD
    assert pruner.call(NOW).arguments[1] == "997"


def test_the_pruner_stays_at_the_front_while_much_goes_there(pruner):
    assert pruner.took(Pruned(Pruner.LIMIT, 0, 0, 0), NOW) == NOW
    assert pruner.took(Pruned(0, 0, Pruner.LIMIT, 0), NOW) == NOW
    assert pruner.call(NOW).arguments[1] == "0"
