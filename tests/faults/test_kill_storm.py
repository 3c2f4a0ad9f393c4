"""Processes of all kinds are killed while jobs come in and run: nothing acknowledged is lost."""

from tests.faults.storms import kill_storm


def test_no_job_is_lost_while_processes_of_all_kinds_are_killed(system):
    report = kill_storm(system, jobs=600, kills=8, settle=3 + 15)
    assert report.sound, report
    assert report.faults == 8
    assert report.audit.completed == 600
