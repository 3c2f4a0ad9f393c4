"""A misspelt option is an error for a type checker, and is named when a program runs all the same."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gopher.testing.running import AboutJob

from gopher import Client
from gopher.errors import InvalidJob
from gopher.jobs.job import Job
from gopher.jobs.submission import JobFields, Submission, SubmitOptions, submission_of

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("typed.py")


def test_a_type_checker_finds_misspelt_options_and_nothing_else(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.cache.mkdir("mypy") if pytestconfig.cache else tmp_path / "cache"
    command = [sys.executable, "-m", "mypy", "--cache-dir", cache, "--no-pretty", SAMPLE.relative_to(ROOT)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = dict(re.findall(r"typed\.py:(\d+): error: (.*)", checked.stdout))
    marked = [re.search(r"  # error: (.*)", line) for line in SAMPLE.read_text().splitlines()]
    expected = {str(number): match[1] for number, match in enumerate(marked, 1) if match}
    assert found.keys() == expected.keys(), checked.stdout + checked.stderr
    assert not {number: found[number] for number, text in expected.items() if text not in found[number]}
    assert len(expected) > 10


def test_an_editor_finds_the_same() -> None:
    command = [Path(sys.executable).with_name("basedpyright"), "--outputjson", "--pythonpath", sys.executable]
    checked = subprocess.run([*command, SAMPLE], cwd=ROOT, capture_output=True, text=True, check=False)
    found = [each for each in json.loads(checked.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    marked = [number for number, line in enumerate(SAMPLE.read_text().splitlines(), 1) if "  # error: " in line]
    assert [each["range"]["start"]["line"] + 1 for each in found] == marked, found


def test_the_typed_options_are_the_fields_of_a_submission() -> None:
    fields = {*Submission.__struct_fields__}
    # A schedule is not made by `enqueue`.
    assert {*SubmitOptions.__annotations__} == fields - {"type", "payload", "recurring"}
    assert {*JobFields.__annotations__} == fields - {"recurring"}
    assert JobFields.__required_keys__ == {"type", "payload"}
    assert {*AboutJob.__annotations__} == {*Job.__struct_fields__} - {"type", "reporter"}


def test_every_typed_option_is_taken_with_the_type_that_it_promises() -> None:
    given: dict[str, object] = {
        "priority": "high", "queue": "mail", "max_retries": 2, "timeout": 1.5, "execute_at": "2030-01-01T00:00:00Z",
        "delay": "1s", "expires_at": "2030-01-01T00:00:00Z", "expires_in": 60, "retention": "1h", "retry_for": 10,
        "unique_key": "a", "unique_for": "1h", "limit_key": "b", "after": ("id",), "on_parent_failure": "run",
        "metadata": {"order": 17},
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
