"""The machine dies while the server writes its file: the file ends anywhere, and no move is there by half."""

import random
import shutil
import tempfile
from pathlib import Path

import pytest

from gopher.client import Client
from gopher.queue.invariants import findings
from gopher.server.embedded import EmbeddedServer
from tests.seeding import SeedingWorker

#: Bytes at the end of the file, of which any may be the last that reached the disk: several rounds of moves.
TAIL = 24_000
#: How often it is cut, each time in another part of the tail.
CUTS = 12


@pytest.fixture(scope="module")
def data():
    """The folder of a server that was stopped after every kind of move."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-torn-"))
    with EmbeddedServer(folder / "whole") as server, Client(server.url) as client:
        worker = SeedingWorker(client)
        client.enqueue_many({"type": "t", "payload": {"n": number}} for number in range(200))
        for _ in range(20):
            one, two, three, *rest = worker.fetch(6)
            worker.complete(rest)
            worker.retry(one)
            worker.dead_letter(two)
            client.server.run(worker.queue.requeue(worker.name, three.id, three.token))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_file_that_ends_anywhere_holds_whole_moves_only(data, seed):
    kept, part, dice = set(), TAIL // CUTS, random.Random(seed)
    for number in range(CUTS):
        cut = number * part + dice.randint(1, part)
        copy = data / f"copy-{number}"
        shutil.copytree(data / "whole", copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
        (log,) = copy.rglob("*.incr.aof")
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size - cut)
        with EmbeddedServer(copy) as server, Client(server.url) as client:
            assert findings(client.server.client, client.server.keys.for_queue("default")) == [], f"{cut} bytes missing"
            kept.add(client.inspector.totals("default").get("completed:t", 0))
        shutil.rmtree(copy)
    # The tail holds several moves, or this has shown nothing.
    assert len(kept) > 1
