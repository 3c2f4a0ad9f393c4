"""api/register_queues: names of new queues, all of them or none."""

from gopher.queue.scripts import script
from gopher.server.calls import Call


def register(lab, most, *names):
    return lab.run(Call(script("api/register_queues"), lab.keys.prefix + "names", (str(most), *names), bool))


def test_names_that_are_known_fit_though_fewer_are_allowed_by_now(lab):
    assert register(lab, 3, "a", "b", "c")
    assert register(lab, 2, "a", "c")
    assert not register(lab, 3, "a", "d")
    assert not register(lab, 2, "d")
    assert lab.redis.smembers(lab.keys.prefix + "names") == {b"a", b"b", b"c"}
    lab.redis.delete(lab.keys.prefix + "names")
