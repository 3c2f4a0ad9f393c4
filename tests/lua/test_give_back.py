"""api/give_back: a token of a client's bucket is put back."""

from uuid import uuid4

import pytest

from gopher.admin.admission import Turnstile
from gopher.base.rates import Rate

#: Slow enough that nothing comes back by itself.
TURNSTILE = Turnstile(Rate(3, 3600.0))


@pytest.fixture
def ann():
    return f"ann-{uuid4().hex}"


def taken(lab, client, times):
    return [TURNSTILE.ask(lab.server, client).admitted for _ in range(times)]


def keys(lab):
    return set(lab.redis.keys("*:client:*"))


def test_a_token_that_is_put_back_can_be_taken_again(lab, ann):
    before = keys(lab)
    assert taken(lab, ann, 4) == [True] * 3 + [False]
    (bucket,) = keys(lab) - before
    TURNSTILE.give_back(lab.server, ann)
    assert 2_300_000 < lab.redis.pttl(bucket) <= 2_400_000
    assert taken(lab, ann, 2) == [True, False]


def test_a_bucket_that_is_full_again_has_no_key(lab, ann):
    before = keys(lab)
    assert taken(lab, ann, 1) == [True]
    TURNSTILE.give_back(lab.server, ann)
    assert keys(lab) == before


def test_no_more_is_put_back_than_the_bucket_holds(lab, ann):
    before = keys(lab)
    TURNSTILE.give_back(lab.server, ann)
    assert keys(lab) == before
    assert taken(lab, ann, 4) == [True] * 3 + [False]


def test_buckets_of_others_are_left_alone(lab, ann):
    assert [TURNSTILE.ask(lab.server, client).left for client in (ann, f"{ann}-2")] == [2, 2]
    TURNSTILE.give_back(lab.server, ann)
    assert [TURNSTILE.ask(lab.server, client).left for client in (ann, f"{ann}-2")] == [2, 1]
