"""prune: finished jobs whose record has run out leave the index, old dead letters go."""

WEEK = 7 * 86400.0


def test_jobs_whose_record_has_run_out_leave_the_index(lab):
    gone, kept = lab.seed_completed(), lab.seed_completed()
    lab.redis.delete(lab.keys.job(gone))
    first, again = lab.run_twice(lab.queue.prune(0, WEEK, 100))
    assert (first.finished, first.place, first.dead) == (1, 0, 0)
    assert again.finished == 0
    assert lab.standing("finished") == [kept]


def test_it_goes_round_the_index_in_pieces(lab):
    ids = []
    for _ in range(5):
        ids.append(lab.seed_completed())
        lab.pass_time(1)
    lab.redis.delete(*(lab.keys.job(job_id) for job_id in ids[1:4]))
    place, seen = 0, []
    for _ in range(4):
        pruned = lab.run(lab.queue.prune(place, WEEK, 100, limit=2))
        place = pruned.place
        seen.append((pruned.finished, place))
    # Of 0 and 1 one is gone: on behind 0. Of 2 and 3 both are: on from there. Then the last one: from the start again.
    assert seen == [(1, 1), (2, 1), (0, 0), (0, 2)]
    assert sorted(lab.standing("finished")) == sorted([ids[0], ids[4]])


def test_dead_letters_go_when_they_are_old(lab):
    old = lab.seed_failed()
    lab.pass_time(60)
    young = lab.seed_failed()
    first, again = lab.run_twice(lab.queue.prune(0, 60.0, 100))
    assert (first.dead, again.dead) == (1, 0)
    assert (lab.state(old), lab.state(young)) == (None, "failed")
    assert lab.totals()["pruned_dead"] == 1


def test_the_oldest_dead_letters_go_when_there_are_too_many(lab):
    ids = []
    for _ in range(5):
        ids.append(lab.seed_failed())
        lab.pass_time(1)
    assert lab.run(lab.queue.prune(0, WEEK, 3)).dead == 2
    assert lab.standing("failed") == ids[2:]


def test_no_more_dead_letters_go_in_one_call_than_its_limit(lab):
    for _ in range(5):
        lab.seed_failed()
    assert [lab.run(lab.queue.prune(0, WEEK, 0, limit=2)).dead for _ in range(4)] == [2, 2, 1, 0]
