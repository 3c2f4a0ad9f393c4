"""due_ticks: which schedules are to fire, and when the next one will be."""


def test_without_schedules_there_is_nothing(lab):
    ticks = lab.run(lab.queue.due_ticks())
    assert (ticks.now, ticks.next_due, ticks.due) == (lab.now, None, [])


def test_what_is_due_is_told_with_its_definition_and_changes_nothing(lab):
    lab.run(lab.queue.set_schedule("early", b'{"e":1}', lab.now - 5))
    lab.run(lab.queue.set_schedule("now", b'{"n":1}', lab.now))
    lab.run(lab.queue.set_schedule("later", b'{"l":1}', lab.now + 5000))
    first, again = lab.run_twice(lab.queue.due_ticks())
    assert first == again
    assert first.due == [(b"early", b"%d" % (lab.now - 5), b'{"e":1}'), (b"now", b"%d" % lab.now, b'{"n":1}')]
    assert first.next_due == lab.now + 5000


def test_a_limit_leaves_the_latest_out(lab):
    for second in range(3):
        lab.run(lab.queue.set_schedule(f"s{second}", b"{}", lab.now - 3000 + second * 1000))
    assert [name for name, *_ in lab.run(lab.queue.due_ticks(2)).due] == [b"s0", b"s1"]
