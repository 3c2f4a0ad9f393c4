"""The server's own limit for a worker's calls: settle and fetch in Lua, with a given number of jobs per round trip."""

import time

from benchmarks.contenders import Contender
from benchmarks.lab import Lab, lab

from . import Figure, Item, alone

#: The minimal script that settles jobs and fetches the next ones.
SCRIPT = """
for i = 3, #ARGV do
  if redis.call('LREM', KEYS[2], -1, ARGV[i]) == 1 then redis.call('HSET', KEYS[3], ARGV[i], ARGV[2]) end
end
local ids = redis.call('RPOP', KEYS[1], ARGV[1])
if not ids then return {} end
redis.call('LPUSH', KEYS[2], unpack(ids))
return ids
"""
SIZES = (1, 16, 64)
IDS = [f"{number:036d}" for number in range(1000)]


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    return {f"settle + fetch, {size} per round trip": _rate(contender, size, seconds / 2) for size in SIZES}


def _rate(contender: Contender, size: int, seconds: float) -> float:
    with lab(contender) as made:
        script = made.redis.register_script(SCRIPT)
        done, spent, taken = 0, 0.0, _filled(made)
        while spent < seconds:
            if done % 100_000 < size:
                taken = _filled(made)
            began = time.perf_counter()
            taken = script(keys=["next", "taken", "settled"], args=[size, "ok", *taken])
            spent += time.perf_counter() - began
            done += len(taken)
        return done / spent


def _filled(made: Lab) -> list[str]:
    """Reset to 100,000 waiting ids."""
    made.redis.delete("next", "taken", "settled")
    for _ in range(100):
        made.redis.lpush("next", *IDS)
    return []


ITEM = Item(
    "trips",
    tuple(Figure(f"settle + fetch, {size} per round trip", "jobs/s", "more") for size in SIZES),
    lambda contender: contender.name == "limit",
    alone(measure),
)
