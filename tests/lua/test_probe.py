"""probe: a batch learns of jobs that were never stored, or that ended without telling it."""


def test_only_what_has_ended_or_does_not_exist_is_told(lab):
    done, dead = lab.seed_completed(), lab.seed_failed()
    running = lab.seed_processing().id
    waiting = lab.enqueue()
    assert lab.run(lab.queue.probe("home", "b1", [waiting, running, done, dead, "never"])) == 3
    assert [entry[:5] for entry in lab.posted("home")] == [
        ["batch", "b1", done, "completed", 0],
        ["batch", "b1", dead, "failed", 1],
        ["batch", "b1", "never", "unstored", 0],
    ]


def test_a_redrive_after_that_counts_as_later(lab):
    dead = lab.seed_failed()
    lab.redis.hset(lab.keys.job(dead), "tells", "batch home b1")
    lab.redis.hdel(lab.keys.job(dead), "plain")
    lab.run(lab.queue.probe("home", "b1", [dead]))
    lab.run(lab.queue.redrive([dead]))
    assert [entry[3:5] for entry in lab.posted("home")] == [["failed", 1], ["pending", 2]]
