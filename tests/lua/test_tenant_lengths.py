"""tenant_lengths: how many jobs of tenants wait."""


def lengths(lab, where=range(100), priority="normal"):
    return lab.run_twice(lab.queue.tenant_lengths(priority, where))[0]


def test_it_counts_the_tenants_in_some_places_of_the_ring(lab):
    lab.enqueue()
    for tenant in ("a", "a", "b", "c", "c", "c", "", ""):
        lab.enqueue(tenant=tenant)
    assert lengths(lab) == {"a": 2, "b": 1, "c": 3, "": 2}
    first, second = lengths(lab, range(2)), lengths(lab, range(2, 4))
    assert len(first) == len(second) == 2
    assert first | second == lengths(lab)
    assert lengths(lab, range(4, 8)) == lengths(lab, priority="high") == {}


def test_it_counts_given_tenants(lab):
    lab.enqueue()
    lab.enqueue(tenant="a")
    assert lengths(lab, ["a", "missing"]) == {"a": 1, "missing": 0}


def test_corrupt_lists_hold_nothing(lab):
    lab.enqueue()
    for tenant in ("a", "b"):
        lab.enqueue(tenant=tenant)
    keys = [lab.keys.pending_of("normal", "a"), lab.keys.ring("normal")]
    kept = {key: lab.redis.dump(key) for key in keys}
    lab.redis.set(keys[0], "nonsense")
    assert lengths(lab) == {"a": 0, "b": 1, "": 0}
    lab.redis.set(keys[1], "nonsense")
    assert lengths(lab) == {}
    for key, value in kept.items():
        lab.redis.restore(key, 0, value, replace=True)
