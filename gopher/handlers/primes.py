"""Primality: trial division, Miller-Rabin, and Baillie-PSW for numbers that are too large for a proof."""

from math import isqrt

_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
#: Below it, no composite passes Miller-Rabin with the bases above (Sorenson and Webster, 2015).
_PROVEN_BELOW = 3_317_044_064_679_887_385_961_981
_TRIALS_UP_TO = 1_000_000


def is_prime(number: int) -> bool:
    """Return whether a number is prime: proven below 3.3e24, by Baillie-PSW (no counterexample known) above."""
    if number < 2:
        return False
    for witness in _WITNESSES:
        if number % witness == 0:
            return number == witness
    if is_certain(number):
        return all(_passes_miller_rabin(number, witness) for witness in _WITNESSES)
    return _passes_miller_rabin(number, 2) and _passes_lucas(number)


def is_certain(number: int) -> bool:
    """Return whether is_prime() is a proof for this number, not only a test without known counterexample."""
    return number < _PROVEN_BELOW


def small_factor(number: int) -> int | None:
    """Return the smallest prime factor, None if there is none up to a million."""
    for divisor in (2, 3):
        if number > 1 and number % divisor == 0:
            return divisor
    for base in range(5, min(_TRIALS_UP_TO, isqrt(number)) + 1, 6):
        if number % base == 0:
            return base
        if number % (base + 2) == 0:
            return base + 2
    return None


def _passes_miller_rabin(number: int, witness: int) -> bool:
    twos, odd = _split(number - 1)
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _passes_lucas(number: int) -> bool:
    """The strong Lucas test with Selfridge's parameters: P = 1, Q = (1 - D) / 4."""
    if isqrt(number) ** 2 == number:
        return False
    discriminant = _selfridge(number)
    if discriminant is None:
        return False
    q = (1 - discriminant) // 4
    twos, odd = _split(number + 1)
    u, v, q_power = _lucas(odd, discriminant, q, number)
    if u == 0 or v == 0:
        return True
    for _ in range(twos - 1):
        v = (v * v - 2 * q_power) % number
        if v == 0:
            return True
        q_power = q_power * q_power % number
    return False


def _selfridge(number: int) -> int | None:
    """Return the first of 5, -7, 9, -11, ... whose Jacobi symbol is -1, None when a factor turns up."""
    candidate = 5
    while True:
        symbol = _jacobi(candidate, number)
        if symbol == -1:
            return candidate
        if symbol == 0:
            return None
        candidate = -candidate - 2 if candidate > 0 else -candidate + 2


def _lucas(index: int, discriminant: int, q: int, modulus: int) -> tuple[int, int, int]:
    """Return U, V and Q^index of the Lucas sequence with P = 1, by doubling, all modulo `modulus`."""
    u, v, q_power = 1, 1, q
    for bit in f"{index:b}"[1:]:
        u, v = u * v % modulus, (v * v - 2 * q_power) % modulus
        q_power = q_power * q_power % modulus
        if bit == "1":
            u, v = _half(u + v, modulus), _half(discriminant * u + v, modulus)
            q_power = q_power * q % modulus
    return u, v, q_power


def _half(value: int, modulus: int) -> int:
    """Return half of a value modulo an odd number."""
    return (value + modulus if value % 2 else value) // 2 % modulus


def _split(number: int) -> tuple[int, int]:
    """Return (twos, odd) with number = 2^twos * odd."""
    twos = (number & -number).bit_length() - 1
    return twos, number >> twos


def _jacobi(upper: int, lower: int) -> int:
    upper %= lower
    sign = 1
    while upper:
        twos, upper = _split(upper)
        if twos % 2 and lower % 8 in (3, 5):
            sign = -sign
        upper, lower = lower, upper
        if upper % 4 == 3 and lower % 4 == 3:
            sign = -sign
        upper %= lower
    return sign if lower == 1 else 0
