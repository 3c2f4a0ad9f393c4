"""A misspelt option is an error for a type checker, and is named when a program runs all the same."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gopher.testing.running import AboutJob

from gopher import Client
from gopher.errors import InvalidJob
from gopher.jobs.declared import Declared
from gopher.jobs.handler_options import HandlerOptions
from gopher.jobs.job import Job
from gopher.jobs.submission import JobFields, Submission, SubmitOptions, submission_of

ROOT = Path(__file__).parents[2]
#: What is checked: programs that use the clients, and programs that submit tasks.
SAMPLES = [Path(__file__).with_name(name) for name in ("typed.py", "typed_tasks.py")]


def marked(mark: str) -> dict[str, str]:
    """Return the lines of the samples that have a mark, and what follows it."""
    return {
        f"{sample.name}:{number}": line.partition(mark)[2]
        for sample in SAMPLES
        for number, line in enumerate(sample.read_text().splitlines(), 1)
        if mark in line
    }


def test_a_type_checker_finds_each_mistake_and_nothing_else(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.cache.mkdir("mypy") if pytestconfig.cache else tmp_path / "cache"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, "--no-pretty"]
    files = [sample.relative_to(ROOT) for sample in SAMPLES]
    checked = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for line, text in re.findall(r"(\w+\.py:\d+): error: (.*)", checked.stdout):
        found[line] = found.get(line, "") + text
    expected = marked("  # error: ")
    assert found.keys() == expected.keys(), checked.stdout + checked.stderr
    assert not {line: found[line] for line, text in expected.items() if text not in found[line]}
    assert len(expected) > 30


def test_an_editor_finds_the_same() -> None:
    command = [Path(sys.executable).with_name("basedpyright"), "--outputjson", "--pythonpath", sys.executable]
    checked = subprocess.run([*command, *SAMPLES], cwd=ROOT, capture_output=True, text=True, check=False)
    found = [each for each in json.loads(checked.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    lines = {f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}" for each in found}
    assert lines == marked("  # error: ").keys() | marked("  # only basedpyright").keys(), found


def test_the_typed_options_are_the_fields_of_a_submission() -> None:
    known = {*Submission.__struct_fields__}
    # A schedule is not made by `enqueue`.
    assert {*SubmitOptions.__annotations__} == known - {"type", "payload", "recurring"}
    assert {*JobFields.__annotations__} == known - {"recurring"}
    assert JobFields.__required_keys__ == {"type", "payload"}
    # `run_job` makes the others itself; of files it takes paths.
    not_for_handlers = {"reporter", "uploads", "open_files", "opened", "payload_file", "traceparent"}
    assert {*AboutJob.__annotations__} == {*Job.__struct_fields__} - {"type", *not_for_handlers}


def test_the_typed_options_of_a_handler_are_those_that_are_checked() -> None:
    assert {*HandlerOptions.__annotations__} == {each.name for each in fields(Declared)} - {"name"}


def test_every_typed_option_is_taken_with_the_type_that_it_promises() -> None:
    given: dict[str, object] = {
        "priority": "high", "queue": "mail", "max_retries": 2, "timeout": 1.5,
        "execute_at": datetime(2030, 1, 1, tzinfo=UTC), "delay": timedelta(seconds=1),
        "expires_at": "2030-01-01T00:00:00Z", "expires_in": 60, "retention": "1h", "retry_for": 10,
        "unique_key": "a", "unique_for": "1h", "limit_key": "b", "after": ("id",), "on_parent_failure": "run",
        "tags": ("billing",), "durability": "replicated", "require_worker": True,
        "metadata": {"order": 17}, "unique_mode": "replace", "max_wait": 60,
        "files": {"file": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}, "batch": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "job_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "callback": {"url": "https://example.com"}, "tenant": "a",
    }  # fmt: skip
    assert given.keys() == SubmitOptions.__annotations__.keys()
    made = submission_of({"type": "email", "payload": {}, **given})
    assert not [name for name in given if getattr(made, name) in (None, [], "normal", "default", "fail")]


@pytest.fixture
def client() -> Iterator[Client]:
    """A client whose server is not there: what is wrong is said before anything is sent."""
    with Client("redis://127.0.0.1:1") as client:
        yield client


@pytest.mark.parametrize(
    ("option", "hint"),
    [("qeue", "did you mean 'queue'?"), ("max_retry", "did you mean 'max_retries'?"), ("zzz", "options are priority,")],
)
def test_an_unknown_option_is_named_with_the_nearest_known_one(client: Client, option: str, hint: str) -> None:
    for submit in (
        lambda: client.enqueue("email", {}, **{option: "x"}),
        lambda: client.enqueue_many([{"type": "email", "payload": {}, option: "x"}]),
    ):
        with pytest.raises(InvalidJob, match=re.escape(hint)) as caught:
            submit()
        assert caught.value.field == f"/{option}"


def test_an_option_of_the_wrong_type_is_named(client: Client) -> None:
    with pytest.raises(InvalidJob, match="expected `str`, got `int`") as caught:
        client.enqueue("email", {}, queue=3)
    assert caught.value.field == "/queue"
