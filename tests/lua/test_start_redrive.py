"""start_redrive: dead letters are to be retried by and by."""


def group_of(lab, job_id):
    return lab.record(job_id)["group"]


def test_it_counts_what_is_meant_and_wakes_a_scheduler(lab):
    here, there = [lab.seed_failed("here") for _ in range(3)], lab.seed_failed("there")
    groups = [group_of(lab, here[0]), group_of(lab, there)]
    first, again = lab.run_twice(lab.queue.start_redrive("r", groups, canary=1, asked=b'{"type":"email"}'))
    assert (first, again) == (4, 4)
    plan = lab.redrive("r")
    assert (plan["state"], plan["total"], plan["left"], plan["retried"]) == ("canary", "4", "4", "0")
    assert (plan["asked"], plan["began"]) == ('{"type":"email"}', str(lab.now))
    assert lab.scores("redrives") == {"r": lab.now}
    assert lab.alarm() == lab.now


def test_no_groups_are_all(lab):
    lab.seed_failed("here"), lab.seed_failed("there")
    assert lab.run(lab.queue.start_redrive("r", [])) == 2
    assert lab.redrive("r")["state"] == "running"


def test_a_limit_bounds_it(lab):
    lab.seed_failed(), lab.seed_failed()
    assert lab.run(lab.queue.start_redrive("r", [], limit=1)) == 1
    assert lab.redrive("r")["left"] == "1"


def test_without_dead_letters_no_redrive_starts(lab):
    assert lab.run(lab.queue.start_redrive("r", [])) == 0
    assert lab.run(lab.queue.start_redrive("r", ["nothing"])) == 0
    assert lab.standing("redrives") == []


def test_a_scheduler_that_sleeps_is_woken(lab):
    lab.seed_failed()
    lab.redis.delete(lab.keys.alarm)
    lab.run(lab.queue.start_redrive("r", []))
    assert lab.alarm() == lab.now


def test_a_late_repeat_leaves_what_has_been_done_since(lab):
    lab.seed_failed(), lab.seed_failed()
    call = lab.queue.start_redrive("r", [], canary=1)
    assert lab.run(call) == 2
    lab.run(lab.queue.continue_redrives())
    before = lab.redrive("r")
    assert lab.run(call) == 2
    assert lab.redrive("r") == before
