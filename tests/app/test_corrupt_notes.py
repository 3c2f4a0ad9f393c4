"""Notes of what was lost, and other notes of an installation, break nothing if they can't be read."""

import pytest
from click.testing import CliRunner
from gopher.cli.main import cli

from gopher.jobs.job import new_job_id
from gopher.queue.preflight import check_server
from tests.app.installation import Installation, walk
from tests.app.test_corrupt_rows import NO_NUMBERS, NO_VALUES

NOTES = [*NO_VALUES, *NO_NUMBERS, b"9007199254740993"]


@pytest.fixture
def installation(redis_url, namespace):
    made = Installation(redis_url, namespace)
    yield made
    made.client.close()


def look(installation):
    missing = new_job_id()
    for path in (f"/api/v1/jobs/{missing}", f"/api/v1/jobs/{missing}/logs", f"/dashboard/jobs/{missing}"):
        assert installation.api.get(path).status_code == 404
    assert installation.get("/health")["status"]
    # It may find something, and then fails.
    examined = CliRunner().invoke(cli, ["doctor"], env=installation.environ)
    assert isinstance(examined.exception, SystemExit | None), examined.exception
    assert "data" in examined.output


@pytest.mark.parametrize("field", ["emptied_at", "acknowledged"])
def test_a_note_that_the_server_was_emptied(installation, field):
    for note in NOTES:
        installation.redis.hset(installation.client.server.keys.meta, field, note)
        look(installation)
    walk(installation)


@pytest.mark.parametrize("field", ["at", "until"])
def test_a_note_that_records_were_evicted(installation, field):
    now = installation.client.inspector.now()
    for note in NOTES:
        installation.redis.hset(installation.keys.evicted, mapping={"at": now, "until": now + 1000, field: note})
        installation.redis.hset(installation.keys.totals, "evicted", note)
        look(installation)
    installation.redis.delete(installation.keys.evicted)
    installation.redis.set(installation.keys.evicted, "nonsense")
    look(installation)
    walk(installation)


@pytest.mark.parametrize("note", [b"", b"nonsense", b"\xff", b"[]", b"nan", b"-1"])
def test_a_schema_that_can_not_be_read_is_ours(installation, note):
    installation.redis.hset(installation.client.server.keys.meta, "schema", note)
    check_server(installation.client.server)
