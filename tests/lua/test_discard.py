"""discard: dead letters are deleted for good."""


def test_a_dead_letter_is_gone(lab):
    dead, other = lab.seed_failed(), lab.seed_failed()
    first, again = lab.run_twice(lab.queue.discard([dead]))
    assert (first, again) == (1, 0)
    assert lab.record(dead) == {}
    assert lab.standing("failed") == [other]
    assert lab.totals()["discarded"] == 1


def test_only_dead_letters_go(lab):
    waiting, done = lab.enqueue(due="+5000"), lab.seed_completed()
    assert lab.run(lab.queue.discard([waiting, done])) == 0
    assert (lab.state(waiting), lab.state(done)) == ("scheduled", "completed")
