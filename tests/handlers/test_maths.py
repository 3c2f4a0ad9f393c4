"""Exact arithmetic, checked against other ways of finding the same."""

import math
import sys
import time
from typing import Any

import pytest

from gopher.errors import InvalidJob
from gopher.handlers import primes
from gopher.handlers.maths import BOUNDS, fibonacci


def slow_fibonacci(index: int) -> int:
    current, following = 0, 1
    for _ in range(index):
        current, following = following, current + following
    return current


def slow_is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def test_finds_fibonacci_numbers() -> None:
    assert [fibonacci(index) for index in range(200)] == [slow_fibonacci(index) for index in range(200)]
    assert fibonacci(12_345) == slow_fibonacci(12_345)


def test_answers_small_results_as_numbers(run: Any) -> None:
    assert run("math", {"operation": "fibonacci", "number": 10}) == {
        "operation": "fibonacci",
        "number": 10,
        "result": 55,
        "digits": 2,
        "exact": True,
        "written_as": "number",
    }
    assert run("math", {"operation": "factorial", "number": 0})["result"] == 1


def test_answers_results_beyond_2_to_53_as_text(run: Any) -> None:
    result = run("math", {"operation": "factorial", "number": 19})
    assert result["result"] == "121645100408832000"
    assert result["written_as"].startswith("decimal string")
    assert run("math", {"operation": "fibonacci", "number": 78})["result"] == 8944394323791464
    assert run("math", {"operation": "fibonacci", "number": 79})["result"] == "14472334024676221"


@pytest.mark.parametrize("operation", ["fibonacci", "factorial"])
def test_stays_within_the_limit_of_results_at_the_bound(run: Any, operation: str) -> None:
    limit = sys.get_int_max_str_digits()
    began = time.process_time()
    result = run("math", {"operation": operation, "number": BOUNDS[operation]})
    assert time.process_time() - began < 10
    assert 50_000 < result["digits"] == len(result["result"]) < 60_000
    assert result["exact"] is True
    assert sys.get_int_max_str_digits() == limit


def test_rounds_to_a_precision(run: Any) -> None:
    result = run("math", {"operation": "factorial", "number": 100, "precision": 5})
    assert result["result"] == "9.3326e+157"
    assert result["digits"] == 158
    assert result["exact"] is False
    assert run("math", {"operation": "fibonacci", "number": 10, "precision": 5})["result"] == "5.5e+1"
    assert run("math", {"operation": "fibonacci", "number": 10, "precision": 5})["exact"] is True


def test_finds_primes_as_trial_division_does() -> None:
    for number in range(5000):
        assert primes.is_prime(number) == slow_is_prime(number), number
        expected = next((d for d in range(2, number + 1) if number % d == 0), None) if number > 1 else None
        assert primes.small_factor(number) in (expected, None if slow_is_prime(number) else expected)


def test_is_not_taken_in_by_pseudoprimes() -> None:
    carmichael = [561, 1105, 1729, 2465, 825265, 321197185, 9746347772161, 1436697831295441]
    strong = [2047, 3215031751, 3825123056546413051, 318665857834031151167461]
    assert not any(map(primes.is_prime, carmichael + strong))


@pytest.mark.parametrize("exponent", [89, 107, 127, 521, 607, 1279, 2203])
def test_knows_mersenne_primes(exponent: int) -> None:
    assert primes.is_prime(2**exponent - 1)
    assert not primes.is_prime(2 ** (exponent + 2) - 1)


def test_knows_large_composites_without_small_factors() -> None:
    first, second = 2**521 - 1, 2**607 - 1
    assert not primes.is_prime(first * second)
    assert not primes.is_prime(first * first)


def test_lucas_and_miller_rabin_each_refuse_what_the_other_takes() -> None:
    """Baillie-PSW is as good as its parts are different: 2047 passes one, 5459 the other."""
    assert primes._passes_miller_rabin(2047, 2)
    assert not primes._passes_lucas(2047)
    assert primes._passes_lucas(5459)
    assert not primes._passes_miller_rabin(5459, 2)
    strong_lucas = [n for n in range(3, 60_000, 2) if primes._passes_lucas(n) and not slow_is_prime(n)]
    # A217255.
    assert strong_lucas == [5459, 5777, 10877, 16109, 18971, 22499, 24569, 25199, 40309, 58519]


def test_answers_about_primes(run: Any) -> None:
    assert run("math", {"operation": "prime", "number": 97}) == {
        "operation": "prime",
        "number": 97,
        "result": True,
        "is_prime": True,
        "smallest_factor": None,
        "certain": True,
    }
    composite = run("math", {"operation": "prime", "number": 91})
    assert (composite["is_prime"], composite["smallest_factor"]) == (False, 7)
    large = run("math", {"operation": "prime", "number": str(2**2203 - 1)})
    assert (large["is_prime"], large["certain"]) == (True, False)
    assert large["number"] == large["number"].strip() == str(2**2203 - 1)


def test_keeps_a_large_number_of_the_payload_to_the_digit(run: Any) -> None:
    assert run("math", {"operation": "prime", "number": 9007199254740993})["number"] == "9007199254740993"
    assert run("math", {"operation": "prime", "number": 2**61 - 1})["is_prime"] is True


@pytest.mark.parametrize(
    ("payload", "details"),
    [
        ({"operation": "fibonacci", "number": 250_001}, "fibonacci takes up to 250,000"),
        ({"operation": "factorial", "number": "15001"}, "factorial takes up to 15,000"),
        ({"operation": "prime", "number": 10**1000}, "prime takes up to 1,000 digits"),
        ({"operation": "prime", "number": -1}, ">= 0"),
        ({"operation": "prime", "number": "-1"}, "an integer >= 0"),
        ({"operation": "prime", "number": "1_0"}, "an integer >= 0"),
        ({"operation": "prime", "number": "٣"}, "an integer >= 0"),
        ({"operation": "prime", "number": ""}, "an integer >= 0"),
        ({"operation": "prime", "number": 1.5}, "got `float`"),
        ({"operation": "prime", "number": True}, "got `bool`"),
        ({"operation": "square", "number": 1}, "/payload/operation: .*'square'"),
        ({"operation": "prime", "number": 1, "precision": 0}, ">= 1"),
        ({"operation": "prime"}, "/payload/number: is required"),
        ({"operation": "prime", "number": 1, "digits": 1}, "/payload/digits"),
    ],
)
def test_refuses_a_payload_that_can_not_be_computed(run: Any, payload: dict[str, Any], details: str) -> None:
    with pytest.raises(InvalidJob, match=details):
        run("math", payload)
