"""read_groups: what dead letters died of, how many, from when to when."""

from gopher.queue.replies import GroupRow


def test_each_group_is_told_with_its_first_and_last_death_the_latest_group_first(lab):
    lab.seed_failed("here")
    began = lab.now
    lab.pass_time(1)
    last = lab.seed_failed("here")
    lab.pass_time(1)
    other = lab.seed_failed("there")
    here, there = lab.record(last)["group"], lab.record(other)["group"]
    assert lab.run_twice(lab.queue.read_groups(10))[0] == [
        GroupRow(there, b"email\nValueError\nthere", 1, lab.now, lab.now, other),
        GroupRow(here, b"email\nValueError\nhere", 2, began, began + 1000, last),
    ]
    assert [row.group for row in lab.run(lab.queue.read_groups(1))] == [there]


def test_no_dead_letters_are_no_groups(lab):
    assert lab.run(lab.queue.read_groups(10)) == []


def test_a_group_without_a_name_or_without_jobs_is_omitted(lab):
    group = lab.record(lab.seed_failed())["group"]
    name = lab.redis.hget(lab.keys.group_names, group)
    lab.redis.hdel(lab.keys.group_names, group)
    lab.redis.zadd(lab.keys.groups, {"empty": lab.now})
    lab.redis.hset(lab.keys.group_names, "empty", "email")
    assert lab.run(lab.queue.read_groups(10)) == []
    lab.redis.hset(lab.keys.group_names, group, name)
    lab.redis.hdel(lab.keys.group_names, "empty")
    lab.redis.zrem(lab.keys.groups, "empty")
