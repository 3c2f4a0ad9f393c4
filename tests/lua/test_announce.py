"""announce: what the handlers of running processes declare."""


def test_it_is_noted_with_the_time(lab):
    assert lab.run_twice(lab.queue.announce(["schedule:nightly", "limit:email"])) == ("OK", "OK")
    assert lab.scores("declared") == {"schedule:nightly": lab.now, "limit:email": lab.now}
    assert lab.redis.pttl(lab.keys.declared) > 86_400_000


def test_each_announcement_counts_from_now_on(lab):
    first = lab.now
    lab.run(lab.queue.announce(["schedule:nightly", "limit:email"]))
    lab.pass_time(60)
    lab.run(lab.queue.announce(["limit:email"]))
    assert lab.scores("declared") == {"schedule:nightly": first, "limit:email": first + 60_000}


def test_what_is_noted_already_keeps_its_time_where_only_the_new_is_asked_for(lab):
    first = lab.now
    lab.run(lab.queue.announce(["limit:email"]))
    lab.pass_time(60)
    lab.run(lab.queue.announce(["limit:email", "limit:sms"], if_new=True))
    assert lab.scores("declared") == {"limit:email": first, "limit:sms": first + 60_000}
