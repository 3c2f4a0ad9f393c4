"""stop_redrive: no more of the dead letters go back."""


def test_retried_jobs_continue_and_the_rest_stay_dead_letters(lab):
    # Those that died in the same millisecond go in the order of their ids.
    dead = sorted(lab.seed_failed() for _ in range(3))
    lab.run(lab.queue.start_redrive("r", [], canary=1))
    lab.run(lab.queue.continue_redrives())
    first, again = lab.run_twice(lab.queue.stop_redrive("r"))
    assert (first, again) == ("STOPPED", "stopped")
    lab.pass_time(60)
    assert lab.run(lab.queue.continue_redrives()).moved == 0
    assert [lab.state(job_id) for job_id in dead] == ["pending", "failed", "failed"]
    assert (lab.redrive("r")["reason"], lab.redrive("r")["state"]) == ("by an operator", "stopped")
    assert 0 < lab.redis.pttl(lab.keys.redrive("r")) <= 86_400_000


def test_a_redrive_that_is_over_returns_how_it_ended(lab):
    lab.seed_failed()
    lab.run(lab.queue.start_redrive("r", []))
    lab.run(lab.queue.continue_redrives())
    assert lab.run(lab.queue.stop_redrive("r")) == "finished"


def test_one_that_is_not_there_is_missing(lab):
    assert lab.run(lab.queue.stop_redrive("nothing")) == "MISSING"


def test_one_without_a_trial_is_stopped_as_well(lab):
    lab.seed_failed()
    lab.run(lab.queue.start_redrive("r", [], rate=1.0))
    assert lab.run(lab.queue.stop_redrive("r")) == "STOPPED"
    assert lab.redrive("r")["state"] == "stopped"
