"""Workers that are frozen past their lease and wake up again."""

from tests.faults.storms import zombies


def test_what_a_zombie_brings_is_refused_and_its_child_dies_within_a_heartbeat(system):
    report = zombies(system, rounds=2, lease=3.0)
    assert report.sound, report
    assert report.refused == 6
