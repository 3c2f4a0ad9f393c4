"""Names of types and queues that seem to be misspelt: commands that find nothing, or that act on them, say so."""

import pytest

from tests.seeding import SeedingWorker

PRIME = '{"operation": "prime", "number": 7}'


@pytest.fixture
def served(client):
    """A worker, and a job of the queue that it serves."""
    SeedingWorker(client).show("math", "email")
    return client.enqueue("email", {}, delay="1h")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list-failed", "--type", "maht"],
        ["retry-all", "--type", "maht"],
        ["retry-all", "--type", "maht", "--rate", "1/s"],
        ["purge", "-q", "failed", "--type", "maht", "-y"],
        ["cancel", "--type", "maht", "-y"],
        ["stats", "maht"],
        ["webhooks", "create", "--url", "https://example.com/hook", "--type", "maht"],
    ],
)
def test_a_type_that_no_one_knows_is_told_with_what_may_be_meant(run, served, arguments):
    answer = run(*arguments)
    assert answer.code == 0
    assert "no live worker has a handler for 'maht': did you mean 'math'?" in answer.err
    assert "'maht'" not in answer.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["list-failed", "--queue", "defualt"],
        ["retry-all", "--queue", "defualt"],
        ["cancel", "--queue", "defualt", "-y"],
        ["webhooks", "create", "--url", "https://example.com/hook", "--queue", "defualt"],
    ],
)
def test_a_queue_that_never_was_is_told_with_what_may_be_meant(run, served, arguments):
    answer = run(*arguments)
    assert answer.code == 0
    assert "there was no queue 'defualt': did you mean 'default'?" in answer.err


def test_names_that_are_known_are_told_nothing(run, served):
    for arguments in (["list-failed", "--type", "math", "--queue", "default"], ["cancel", "--type", "math", "-y"]):
        assert "did you mean" not in run(*arguments).err
        assert "no live worker" not in run(*arguments).err


def test_a_job_that_is_moved_or_copied_to_a_queue_without_workers_is_told_so(run, served):
    told = "no worker serves 'email' on queue 'defualt': did you mean 'default'? Otherwise start one with"
    payload = '{"to": "a@example.com", "subject": "", "body": ""}'
    assert told in run("copy", served, "-p", payload, "--queue", "defualt").err
    moved = run("move", served, "--queue", "defualt", "--json")
    assert (moved.code, moved.json["queue"]) == (0, "defualt")
    assert told in moved.err


def test_a_job_that_exists_already_is_told_by_what_it_was_found(run, served):
    by_id = ["submit", "-t", "math", "-p", PRIME, "--job-id", "5e0c2a60-8f43-4a5e-9b0a-2f4f7f1f9d10"]
    by_key = ["submit", "-t", "math", "-p", PRIME, "--unique-key", "seven"]
    assert "already exists" not in run(*by_id).err + run(*by_key).err
    assert "a job with this id already exists" in run(*by_id).err
    assert "a job with this unique key already exists" in run(*by_key).err
