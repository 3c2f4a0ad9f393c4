"""Hours of jobs: short ones at a rate that changes, bursts, and long jobs. Random, but the same for the same seed."""

import math
import random
from collections.abc import Callable
from typing import NamedTuple

HOUR = 3600.0


class Arrival(NamedTuple):
    """A job that is submitted at a moment (s)."""

    at: float
    type: str
    #: How long it runs (s).
    seconds: float


class Stream(NamedTuple):
    """Jobs of a type that arrive at random."""

    type: str
    #: Per second, at a moment.
    rate: Callable[[float], float]
    #: The highest of these.
    most: float
    seconds: Callable[[random.Random], float]


class Bursts(NamedTuple):
    """Jobs of a type that arrive together, at random moments."""

    type: str
    #: Mean seconds between two bursts, and how many jobs each has at least and at most.
    pause: float
    sizes: tuple[int, int]
    seconds: Callable[[random.Random], float]


def about(median: float, spread: float = 0.5) -> Callable[[random.Random], float]:
    """Return durations with a long tail around a median."""
    return lambda chance: median * math.exp(chance.gauss(0.0, spread))


def between(least: float, most: float) -> Callable[[random.Random], float]:
    return lambda chance: chance.uniform(least, most)


def constant(rate: float) -> Callable[[float], float]:
    return lambda at: rate


def waves(low: float, high: float, period: float = HOUR) -> Callable[[float], float]:
    """Return a rate that goes from low to high and back."""
    return lambda at: low + (high - low) * (0.5 - 0.5 * math.cos(2 * math.pi * at / period))


def step(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return a rate that is high for a while."""
    return lambda at: high if start <= at < end else low


def arrivals(parts: tuple[Stream | Bursts, ...], seed: int, length: float = HOUR) -> list[Arrival]:
    """Return the jobs of some time, in order."""
    chance = random.Random(seed)
    made = [arrival for part in parts for arrival in _arrivals(part, chance, length)]
    return sorted(made)


def _arrivals(part: Stream | Bursts, chance: random.Random, length: float) -> list[Arrival]:
    at, made = 0.0, []
    pause = part.pause if isinstance(part, Bursts) else 1 / part.most
    while (at := at + chance.expovariate(1 / pause)) < length:
        if isinstance(part, Bursts):
            # Within two seconds, as a loop submits them.
            size = chance.randint(*part.sizes)
            made += [Arrival(at + 2 * number / size, part.type, part.seconds(chance)) for number in range(size)]
        elif chance.random() < part.rate(at) / part.most:
            made.append(Arrival(at, part.type, part.seconds(chance)))
    return made


#: The hours that are simulated. `mixed` is the one of the documentation.
HOURS: dict[str, tuple[Stream | Bursts, ...]] = {
    "mixed": (
        Stream("thumbnail", waves(1.0, 6.0), 6.0, about(0.5)),
        Stream("email", constant(1.5), 1.5, about(0.8, 0.3)),
        Stream("video", constant(1 / 60), 1 / 60, between(90.0, 300.0)),
        Bursts("report", 400.0, (40, 160), about(3.0)),
    ),
    "small": (
        Stream("email", constant(0.5), 0.5, about(0.8, 0.3)),
        Bursts("report", 900.0, (20, 60), about(3.0)),
        Stream("video", constant(1 / 400), 1 / 400, between(60.0, 240.0)),
    ),
    "steady": (Stream("thumbnail", constant(10.0), 10.0, about(1.0)),),
    "bursts": (
        Stream("email", constant(2.0), 2.0, about(0.8, 0.3)),
        Bursts("report", 240.0, (50, 200), about(4.0)),
    ),
    "long jobs": (
        Stream("email", constant(4.0), 4.0, about(0.8, 0.3)),
        Stream("video", constant(1 / 30), 1 / 30, between(120.0, 900.0)),
    ),
    "a day's start": (
        Stream("thumbnail", step(0.5, 12.0, 900.0, 2700.0), 12.0, about(0.7)),
        Stream("video", constant(1 / 120), 1 / 120, between(60.0, 300.0)),
    ),
}
