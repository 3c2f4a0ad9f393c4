"""The user that docs/security.md gives Gopher on the server can do its work and nothing else."""

import re
import tempfile
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from gopher.admin.admission import Turnstile
from gopher.base.rates import Rate
from gopher.client import Client
from gopher.queue.preflight import check_server
from gopher.reads.health import examine
from gopher.server.embedded import EmbeddedServer
from tests.seeding import SeedingWorker

PAGE = (Path(__file__).parents[3] / "docs/security.md").read_text()


@pytest.fixture(scope="module")
def restricted():
    """The URL of a server, with the documented user's name and password."""
    (rule,) = re.findall(r"^ACL SETUSER (gopher on >secret .*)$", PAGE, re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="gopher-acl-") as folder, EmbeddedServer(Path(folder)) as server:
        Redis.from_url(server.url).execute_command("ACL", "SETUSER", *rule.split())
        yield server.url.replace("unix://", "unix://gopher:secret@")


def test_jobs_live_through_their_lives(restricted):
    with Client(restricted) as client:
        check_server(client.server)
        worker = SeedingWorker(client)
        for _ in range(3):
            client.enqueue("email", {})
        worker.complete(worker.fetch())
        worker.dead_letter(worker.fetch()[0])
        assert client.dead_letters.retry_all() == 1
        client.flow.set_limit("email", "10/s", None, None)
        assert client.jobs().jobs
        assert client.stats().total_enqueued == 3
        assert examine(client.server).status == "degraded"
        assert Turnstile(Rate(10.0, 1.0)).ask(client.server, "ann").admitted
        assert client.purge("default", "pending") == 2


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "CONFIG SET maxmemory 1", "GET other:key", "ACL LIST", "KEYS *", "SHUTDOWN"]
)
def test_it_can_do_nothing_else(restricted, command):
    with pytest.raises(NoPermissionError):
        Redis.from_url(restricted).execute_command(*command.split())
