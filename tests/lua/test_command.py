"""command: what an operator wants a worker to do is kept until its heartbeats have read it."""


def test_commands_are_read_by_each_heartbeat_until_they_expire(lab):
    assert lab.run(lab.queue.command("w1", "one")) == "MISSING"
    lab.hire()
    lab.hire("w2")
    assert lab.run(lab.queue.command("w1", "one")) == "OK"
    assert lab.run(lab.queue.command("w1", "two")) == "OK"
    assert lab.run(lab.queue.command("w1", "two")) == "OK", "a repeat"
    for _ in range(2):
        assert lab.run(lab.queue.heartbeat("w1", 10.0)).commands == ["one", "two"]
    assert lab.run(lab.queue.heartbeat("w2", 10.0)).commands == []
    for number in range(30):
        lab.run(lab.queue.command("w1", f"{number}"))
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).commands == [str(number) for number in range(10, 30)]
    assert 0 < lab.redis.pttl(lab.keys.prefix + "commands:w1") <= 60_000


def test_a_worker_whose_lease_has_run_out_or_that_has_resigned_gets_no_commands(lab):
    lab.hire(lease=10.0)
    lab.run(lab.queue.command("w1", "one"))
    lab.run(lab.queue.resign("w1"))
    assert not lab.redis.exists(lab.keys.prefix + "commands:w1")
    lab.hire("w2", lease=10.0)
    lab.pass_time(11)
    assert lab.run(lab.queue.command("w2", "one")) == "MISSING"
