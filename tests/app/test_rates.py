"""GOPHER_API_RATE: how many requests one client may send, over all processes together."""

from contextlib import contextmanager

import pytest

from gopher.admin.admission import Turnstile
from gopher.base.rates import Rate
from gopher.config.settings import Settings
from gopher.queue.store import Server
from tests.app.conftest import running_api
from tests.helpers import wait_until

KEYS = "ann:ann-secret,bob:bob-secret"
ANN, BOB = {"X-API-Key": "ann-secret"}, {"X-API-Key": "bob-secret"}


@pytest.fixture
def limited(folder, redis_url, namespace):
    @contextmanager
    def run(**variables):
        variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_RATE": "5/h", **variables}
        with running_api(folder, redis_url, **variables) as api:
            yield api

    return run


def statuses(api, count, **headers):
    return [api.get("/api/v1/jobs", **headers).status_code for _ in range(count)]


def test_a_client_that_sends_too_much_is_told_when_to_continue(limited):
    with limited() as api:
        answers = [api.get("/api/v1/jobs") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
        assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"5"}
        assert answers[-1].headers["RateLimit-Policy"] == "5;w=3600"
        assert answers[-1].json()["code"] == "rate_limited"
        assert 700 <= int(answers[-1].headers["Retry-After"]) <= 720
        assert 3500 <= int(answers[-1].headers["RateLimit-Reset"]) <= 3600
        # What needs no key is not counted, and a refused body does not break the connection.
        assert api.get("/health/live").status_code == 200
        assert api.post("/api/v1/jobs", content=b"x" * 500_000).status_code == 429


def test_all_processes_of_all_apis_count_together(limited):
    with limited(WEB_CONCURRENCY="2") as one, limited(WEB_CONCURRENCY="1") as other:
        assert sorted(statuses(one, 3) + statuses(other, 3) + statuses(one, 3)) == [200] * 5 + [429] * 4


def test_each_key_is_a_client_and_who_tries_keys_is_one_by_address(limited):
    with limited(GOPHER_API_KEYS=KEYS) as api:
        assert statuses(api, 6, headers=ANN) == [200] * 5 + [429]
        assert statuses(api, 1, headers=BOB) == [200]
        tries = [api.get("/api/v1/jobs", headers={"X-API-Key": f"guess-{n}"}).status_code for n in range(6)]
        assert tries == [401] * 5 + [429]
        assert statuses(api, 1, headers=BOB) == [200]


def test_without_a_rate_nothing_is_counted(api):
    assert "RateLimit-Limit" not in api.get("/api/v1/jobs").headers


@pytest.fixture
def counting(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as server:
        yield server


def test_a_bucket_fills_again_at_its_rate_and_is_forgotten_when_it_is_full(counting):
    # One that fills so slowly that it does not between two of our requests, and one that is quickly full.
    slow, quick = Turnstile(Rate(2.0, 3600.0)), Turnstile(Rate(2.0, 0.2))
    asked = [slow.ask(counting, "bob") for _ in range(3)]
    assert [each.admitted for each in asked] == [True, True, False]
    assert [each.left for each in asked] == [1, 0, 0]
    assert 0 < asked[-1].retry_after <= 1800
    assert 0 < asked[-1].full_after <= 3600
    buckets = f"{counting.keys.namespace}:client:*"
    kept = counting.client.keys(buckets)
    for _ in range(3):
        quick.ask(counting, "ann")
    assert wait_until(lambda: quick.ask(counting, "ann").admitted)
    assert wait_until(lambda: counting.client.keys(buckets) == kept)
    assert quick.ask(counting, "ann").left == 1


@pytest.mark.parametrize(("rate", "tokens", "window"), [(Rate(0.5, 1.0), 1, 2.0), (Rate(600.0, 60.0), 600, 60.0)])
def test_a_rate_is_a_bucket_of_at_least_one(rate, tokens, window):
    turnstile = Turnstile(rate)
    assert (turnstile.tokens, turnstile.window) == (tokens, pytest.approx(window))


def test_refusals_cost_no_tokens(counting):
    turnstile = Turnstile(Rate(1.0, 3600.0))
    assert turnstile.ask(counting, "ann").admitted
    waits = [turnstile.ask(counting, "ann").retry_after for _ in range(20)]
    assert max(waits) <= 3600
    assert turnstile.ask(counting, "bob").admitted
