"""The model: each event costs the server a fixed amount of each resource. The amounts are in costs.json.

A load is a number of events, so what it takes is a sum; a rate is events per second, so what it takes is a rate, too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("costs.json")
#: Resources that events use, and their units.
FLOWS = {"cpu": "µs", "received": "bytes", "sent": "bytes", "aof": "bytes"}
#: Events and what each is.
EVENTS = {
    "submission": "a call that submits jobs",
    "submitted": "a job in it",
    "submitted KB": "a KB of its payload",
    "exchange": "a round trip of a busy worker: outcomes in, jobs out",
    "worked": "a job in it",
    "worked KB": "a KB of its payload",
    "result KB": "a KB of a result",
    "picked up": "a job that an idle worker picks up, until it is settled",
    "delayed": "a delayed job or a retry, in addition",
    "tick": "a job of a schedule, until it is pending",
    "worker": "a second of an idle worker, for each of its queues",
    "queue": "a second of a scheduler, for each queue that a worker serves",
    "second": "a second of the server",
}
#: What is stored, in bytes of the server's memory.
STORED = {
    "waiting": "a waiting job",
    "waiting KB": "a KB of its payload",
    "finished": "the record of a finished job",
    "finished KB": "a KB of its payload and result",
    "delayed": "a delayed job, in addition",
    "owner": "an owner whose jobs are bounded, with an API key",
    "schedule": "a schedule",
    "worker": "a worker of one queue",
}

Events = Mapping[str, float]


class Costs(NamedTuple):
    """The amounts: of a resource by event, and bytes of memory by what is stored."""

    flows: Mapping[str, Mapping[str, float]]
    memory: Mapping[str, float]
    #: Jobs in a round trip of a worker that is never idle, with jobs that take no time.
    batch: float

    def of(self, events: Events, resource: str) -> float:
        """Return what events take of a resource."""
        return sum(number * self.flows[resource][event] for event, number in events.items())

    def stored(self, things: Events) -> float:
        """Return the bytes of memory."""
        return sum(number * self.memory[thing] for thing, number in things.items())


def read() -> dict[str, Any]:
    """Return all that was measured."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def costs_in(found: Mapping[str, Any]) -> Costs:
    return Costs(found["flows"], found["memory"], found["batch"])
