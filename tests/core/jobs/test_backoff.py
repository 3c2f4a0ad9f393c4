from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gopher import Job, handler, task
from gopher.errors import ConfigurationError
from gopher.jobs.backoff import Backoff, backoff_of, crash_delay
from gopher.jobs.handlers import Registry

CURVES = st.sampled_from(["exponential", "linear", "constant"])
SECONDS = st.floats(0, 1e6)
FAILURES = st.integers(1, 10_000)


def ceilings(backoff: Backoff, count: int = 5) -> list[float]:
    return [backoff.ceiling(failures) for failures in range(1, count + 1)]


def test_exponential_doubles_up_to_the_cap():
    assert ceilings(Backoff()) == [1, 2, 4, 8, 16]
    assert Backoff().ceiling(9) == 256
    assert Backoff().ceiling(10) == 300


def test_linear_grows_by_the_base():
    assert ceilings(Backoff("linear", base="2s", cap="7s")) == [2, 4, 6, 7, 7]


def test_constant_stays():
    assert ceilings(Backoff("constant", base="500ms")) == [0.5] * 5


def test_an_attempt_without_jitter_waits_the_ceiling():
    assert Backoff(jitter=False).delay(4, draw=0.1) == 8


def test_full_jitter_draws_evenly_between_nothing_and_the_ceiling():
    backoff = Backoff()
    assert [backoff.delay(4, draw) for draw in (0.0, 0.25, 0.5)] == [0, 2, 4]
    waits = [backoff.delay(4) for _ in range(2000)]
    assert 0 <= min(waits) < 0.5
    assert 7.5 < max(waits) < 8
    assert 3.5 < sum(waits) / len(waits) < 4.5


@given(CURVES, SECONDS, SECONDS, FAILURES, st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_negative_nor_longer_than_the_cap(curve, base, cap, failures, draw):
    backoff = Backoff(curve, base=base, cap=cap)
    assert 0 <= backoff.delay(failures, draw) <= backoff.ceiling(failures) <= cap


@given(CURVES, SECONDS, SECONDS, FAILURES)
def test_a_ceiling_never_shrinks_with_more_failures(curve, base, cap, failures):
    backoff = Backoff(curve, base=base, cap=cap)
    assert backoff.ceiling(failures) <= backoff.ceiling(failures + 1)


def test_waits_longer_after_each_death_of_a_child():
    assert [crash_delay(crashes) for crashes in (1, 2, 3)] == [5, 10, 20]
    assert crash_delay(100) == 300


def test_refuses_a_curve_that_it_does_not_know():
    with pytest.raises(ConfigurationError, match="one of exponential, linear, constant"):
        Backoff("quadratic")


@pytest.mark.parametrize("base", ["soon", -1, float("inf")])
def test_refuses_a_base_that_is_no_duration(base):
    with pytest.raises(ValueError, match="expected a duration"):
        Backoff(base=base)


def test_a_list_of_waits_gives_each_retry_its_delay_and_repeats_the_last():
    waits = backoff_of(["10s", 60, timedelta(minutes=5)])
    assert [waits.delay(failures) for failures in range(1, 6)] == [10, 60, 300, 300, 300]
    assert [waits.ceiling(failures) for failures in (1, 4)] == [10, 300]
    for wrong in ([], ["soon"], [None]):
        with pytest.raises(ConfigurationError, match="backoff="):
            backoff_of(wrong)


def listed() -> None: ...


def test_a_list_of_waits_says_how_many_retries_there_are():
    registry = Registry()

    task(backoff=["10s", "1m"], into=registry)(listed)

    @handler(backoff=[1], max_retries=5, into=registry)
    def counted(job: Job, payload: dict) -> None: ...

    assert {each.name: each.max_retries for each in registry} == {"counted": 5, f"{__name__}.listed": 2}
