"""`math`: exact arithmetic with integers of any size, within bounds that keep a job short."""

from decimal import Context, Decimal
from math import factorial
from typing import Annotated, Any, Literal

import msgspec

from gopher.jobs.handlers import handler
from gopher.jobs.job import Job

from . import primes

#: Maximum numbers. A result has at most 64 KiB of text: the 250,000th Fibonacci number has 52,248 digits, the
#: factorial of 15,000 has 56,130. Primality is tested up to 1,000 digits.
BOUNDS = {"fibonacci": 250_000, "factorial": 15_000, "prime": 10**1000 - 1}

#: JSON readers that know only doubles would change larger numbers.
EXACT_IN_JSON = 2**53


class Math(msgspec.Struct, forbid_unknown_fields=True):
    """A computation. `number` can be a decimal string, for clients that don't support large integers.

    `precision` rounds the result to that number of significant digits, written as 1.23e+45; otherwise it is exact. It
    is ignored for "prime".
    """

    operation: Literal["fibonacci", "prime", "factorial"]
    number: Annotated[int, msgspec.Meta(ge=0, examples=[25])] | Annotated[str, msgspec.Meta(max_length=1000)]
    precision: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.number, str) and not (self.number.isascii() and self.number.isdigit()):
            raise ValueError("number must be an integer >= 0")
        bound = BOUNDS[self.operation]
        if int(self.number) > bound:
            shown = f"{bound:,}" if bound < EXACT_IN_JSON else "1,000 digits"
            raise ValueError(f"number is too large: {self.operation} takes up to {shown}")


@handler("math", timeout="30s")
def math(job: Job, payload: Math) -> dict[str, Any]:
    """Computes exact Fibonacci numbers and factorials, and tests numbers for primality."""
    number = int(payload.number)
    asked = {"operation": payload.operation, "number": _as_json(number)}
    if payload.operation == "prime":
        return asked | _prime(number)
    value = fibonacci(number) if payload.operation == "fibonacci" else factorial(number)
    return asked | _value(value, payload.precision)


def fibonacci(index: int) -> int:
    """Return the Fibonacci number of an index (0, 1, 1, 2, 3, 5, ...) in steps that double it."""
    current, following = 0, 1
    for bit in f"{index:b}":
        current, following = current * (2 * following - current), current**2 + following**2
        if bit == "1":
            current, following = following, current + following
    return current


def _prime(number: int) -> dict[str, Any]:
    factor = primes.small_factor(number)
    prime = primes.is_prime(number)
    return {
        "result": prime,
        "is_prime": prime,
        "smallest_factor": None if prime else factor,
        "certain": primes.is_certain(number) or not prime,
    }


def _value(value: int, precision: int | None) -> dict[str, Any]:
    # Decimal converts integers of any size to text; int's conversion is limited to 4,300 digits.
    digits = len(str(Decimal(value)))
    if precision is None:
        result = _as_json(value)
        return {"result": result, "digits": digits, "exact": True, "written_as": _written_as(result)}
    rounded = Context(prec=precision).create_decimal(value)
    return {
        "result": f"{rounded.normalize(Context(prec=precision)):e}",
        "digits": digits,
        "exact": rounded == value,
        "written_as": "string in scientific notation",
    }


def _as_json(value: int) -> int | str:
    """Return a number, or a decimal string beyond 2^53."""
    return value if value <= EXACT_IN_JSON else str(Decimal(value))


def _written_as(result: int | str) -> str:
    return "number" if isinstance(result, int) else "decimal string, since it is beyond 2^53"
