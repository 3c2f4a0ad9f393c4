"""Batches from the command line."""

from .conftest import Run

PAYLOAD = '{"operation": "prime", "number": 97}'


def test_creates_fills_seals_and_shows_a_batch(run: Run) -> None:
    batch_id = run(
        "batches", "create", "--name", "import", "--on-success", '{"type": "report", "payload": {}}'
    ).out.strip()
    assert run("submit", "-t", "math", "-p", PAYLOAD, "--batch", batch_id).code == 0
    assert run("batches", "seal", batch_id).out == f"{batch_id} is sealed: 0 of 1 jobs have ended\n"
    shown = run("batches", "show", batch_id, "--json").json
    assert (shown["status"], shown["total"], shown["callbacks"]) == ("running", 1, {"success": None})
    assert "import" in run("batches").out
    assert run("batches", "list", "--status", "open").out == ""
    assert run("batches", "retry", batch_id).code == 0
    assert run("batches", "show", batch_id, "--wait", "0.1").code == 1


def test_a_batch_that_takes_no_jobs_is_an_error_of_the_option(run: Run) -> None:
    batch_id = run("batches", "create").out.strip()
    assert run("batches", "cancel", batch_id).code == 0
    answer = run("submit", "-t", "math", "-p", PAYLOAD, "--batch", batch_id)
    assert (answer.code, "--batch: the batch" in answer.err) == (2, True)
    assert run("batches", "create", "--on-complete", "[]").code == 2
    missing = run("batches", "show", "01a20d1c-ddd6-7e46-9daa-2af634a7f173")
    assert (missing.code, "`gopherctl batches` lists them" in missing.err) == (1, True)
