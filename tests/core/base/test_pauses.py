from gopher.base.pauses import doubled


def test_a_delay_doubles_up_to_its_cap():
    assert [doubled(0.1, times, 1.0) for times in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_a_delay_stays_at_its_cap_however_often_it_was_doubled():
    assert [doubled(first, 10**6, 30.0) for first in (0.001, 1.0, 1)] == [30.0] * 3
