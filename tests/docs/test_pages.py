"""The documents are complete: what the code has stands in them, and what stands in them the code has."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from flask import Flask
from gopher.app import create_app, operations
from gopher.app.problems import FAILURES
from gopher.cli.main import COMMANDS, cli

from gopher import Client, HttpClient
from gopher.base.counters import COUNTERS
from gopher.base.latencies import HISTOGRAMS
from gopher.base.priorities import PRIORITIES
from gopher.base.states import PURGEABLE, TIMED, State
from gopher.config import environment
from gopher.config.settings import Settings
from gopher.errors import Discard, RateLimited, Retry, Snooze
from gopher.interface import (
    BatchesInterface,
    DeadLettersInterface,
    FilesInterface,
    FleetInterface,
    FlowInterface,
    Gopher,
    KeysInterface,
    OpenBatch,
    SchedulesInterface,
    WaitingInterface,
    WebhooksInterface,
)
from gopher.jobs import handlers
from gopher.jobs.backoff import Backoff
from gopher.jobs.handler_options import HandlerOptions
from gopher.jobs.models import JobView
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import Recurring, Submission
from gopher.queue import scripts
from gopher.server import crashpoints
from gopher.tasks.handle import JobHandle
from gopher.tasks.task import Submitting
from tests.docs.console import commands
from tests.docs.reference import with_reference
from tests.docs.system import modules_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def named_in(text: str) -> set[str]:
    """Return what stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


# Settings


def test_the_configuration_lists_every_variable_as_the_code_declares_it() -> None:
    rows = text_of("configuration.md").splitlines()
    for variable in Settings.variables():
        default = f"`{variable.default}`" if variable.default else "none"
        meaning = variable.meaning.replace("|", "\\|")
        assert f"| `{variable.name}` | {default} | {meaning} |" in rows


def test_no_page_names_a_variable_that_there_is_not() -> None:
    known = Settings.names() | {"GOPHER_CRASH_AT", "PR_SET_PDEATHSIG"}
    secret = [variable.name for variable in Settings.variables() if variable.kind.secret]
    known |= {f"{each}_FILE" for name in secret for each in environment.names_of(name)}
    for page in PAGES:
        named = set(re.findall(r"\b(?:GOPHER|WORKER|SERVER|REDIS|LOG|SMTP)_[A-Z_]+[A-Z]\b", page.read_text()))
        assert named <= known, page.name


# The API


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app(Settings())


def route_names(app: Flask) -> set[str]:
    """Return every route as the documents name it: `GET /api/v1/jobs/<job_id>`."""
    rules = [
        (rule.rule, (rule.methods or set()) - {"HEAD", "OPTIONS"})
        for rule in app.url_map.iter_rules()
        # Renamed ones are told of beside the new ones.
        if not getattr(operations.operation_of(app, rule.endpoint), "is_deprecated", False)
    ]
    # The dashboard's pages are for people: docs/dashboard.md.
    return {f"{method} {rule}" for rule, methods in rules for method in methods if not rule.startswith("/dashboard")}


def test_the_table_of_calls_has_every_route_and_no_other(app: Flask) -> None:
    table = text_of("api.md").partition("## OpenAPI")[0]
    assert set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", table)) == route_names(app)


def test_the_table_of_calls_shows_which_role_each_needs(app: Flask) -> None:
    for line in text_of("api.md").partition("## OpenAPI")[0].splitlines():
        for method, rule in re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]*)[^`]*`", line):
            matched = app.url_map.bind("localhost").match(rule, method)[0]
            declared = operations.operation_of(app, matched)
            assert declared is not None
            own = "; submit for own jobs" if declared.for_owner else ""
            assert line.endswith(f"| {declared.role or 'none'}{own} |"), line


def test_every_route_has_an_example_that_is_run(app: Flask) -> None:
    adapter = app.url_map.bind("localhost")
    asked = [asked for command in commands(text_of("api.md")) if (asked := _request(command.text))]
    found = {f"{method} {adapter.match(path, method, return_rule=True)[0].rule}" for method, path in asked}
    assert found == route_names(app)


def _request(command: str) -> tuple[str, str] | None:
    words = shlex.split(command.partition(" |")[0])
    if words[0] != "curl":
        return None
    url = next(word for word in words if word.startswith("http://"))
    path = "/" + url.split("/", 3)[3].partition("?")[0]
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if {"-d", "-F"} & {*words} else "GET"
    return method, path


def test_the_table_of_errors_has_every_code() -> None:
    rows = text_of("api.md").partition("## Errors")[2]
    for failure in FAILURES.values():
        assert f"| {failure.status} | `{failure.code}` |" in rows


def test_the_fields_of_a_submission_and_a_schedule_are_explained() -> None:
    named = named_in(text_of("api.md"))
    assert set(Submission.__struct_fields__) <= named
    schedules = named_in(text_of("schedules.md"))
    assert {*Recurring.__struct_fields__} - {"name"} <= schedules
    own = set(ScheduleSpec.__struct_fields__) - set(Submission.__struct_fields__) - {"origin"}
    assert own <= schedules


def test_the_members_of_a_job_are_shown() -> None:
    shown = [command.answer for command in commands(text_of("api.md")) if "?wait=20" in command.text]
    # What is left out where there is nothing to say is explained beside them.
    members = {field.name for field in msgspec.structs.fields(JobView) if field.required}
    assert any(all(f'"{name}":' in answer for name in members) for answer in shown)
    assert set(JobView.__struct_fields__) - members <= named_in(text_of("api.md"))


def test_every_state_is_in_the_diagram() -> None:
    drawing = text_of("lifecycle.md").partition("```mermaid")[2].partition("```")[0]
    assert set(re.findall(r"\w+", re.sub(r":.*", "", drawing))) >= set(State)


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        ("api.md", State),
        ("api.md", PURGEABLE),
        ("api.md", PRIORITIES),
        ("lifecycle.md", PRIORITIES),
        ("configuration.md", PRIORITIES),
        ("glossary.md", PRIORITIES),
    ],
)
def test_some_passage_names_all_that_a_table_has(page: str, rows: Iterable[str]) -> None:
    passages = re.split(r"\n\n|(?<=\|)\n(?=\|)", text_of(page))
    assert any(all(re.search(rf"\b{row}\b", passage) for row in rows) for passage in passages)


def test_every_metric_is_explained() -> None:
    sources = (ROOT / "app/metrics.py").read_text() + (ROOT / "app/fleet.py").read_text()
    metrics = set(re.findall(r'"(gopher_\w+)"', sources)) | {
        row.metric for row in (*COUNTERS, *HISTOGRAMS) if row.metric
    }
    metrics |= {f"gopher_{state}_queue_size" for state in TIMED}
    named = {name.removesuffix("_total") for name in named_in(text_of("api.md"))}
    assert {name.removesuffix("_total") for name in metrics} <= named


# The command line


def test_every_command_has_an_example_or_a_word() -> None:
    shown = text_of("cli.md")
    for name in COMMANDS:
        command = cli.get_command(None, name)
        if command is not None and not command.hidden:
            assert f"gopherctl {name}" in shown, name
            for each in getattr(command, "commands", {}):
                assert f"{name} {each}" in shown, f"{name} {each}"


def test_the_reference_of_the_commands_is_what_the_commands_say() -> None:
    page = text_of("cli.md")
    assert with_reference(page) == page, "write it anew: python -m tests.docs.write docs/cli.md"


# Handlers, scripts, crash points, backoff


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_compiles_and_its_handlers_register(page: Path) -> None:
    text = page.read_text()
    for source in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(source, page.name, "exec")
    for name, source in modules_of(text).items():
        if "@handler" in source or "@task" in source:
            exec(compile(source, f"{name}.py", "exec"), {"__name__": name})
            for job_type in re.findall(r'@handler\("(\w+)"', source):
                assert handlers.registry.require(job_type).description


def test_every_method_of_a_client_is_explained() -> None:
    named = re.findall(r"\w+", " ".join(named_in(text_of("python.md"))))
    parts = (
        BatchesInterface,
        OpenBatch,
        DeadLettersInterface,
        FlowInterface,
        SchedulesInterface,
        KeysInterface,
        WebhooksInterface,
        FilesInterface,
        FleetInterface,
        WaitingInterface,
        WebhooksInterface,
    )
    kinds = (Client, HttpClient, Gopher, *parts)
    methods = [name for each in kinds for name in vars(each) if not name.startswith("_")]
    # Those that take a prepared job are for the API and the command line.
    assert {*methods} - {"store", "dry_run", "dry_run_all", "part", "why_for"} <= {*named}


def test_every_method_of_a_task_is_explained() -> None:
    named = re.findall(r"\w+", " ".join(named_in(text_of("handlers.md"))))
    assert {name for each in (Submitting, JobHandle) for name in vars(each) if not name.startswith("_")} - {
        "name",
        "handler",
    } <= {*named}


def test_every_option_of_a_handler_is_explained() -> None:
    assert {*HandlerOptions.__annotations__} <= named_in(text_of("handlers.md"))
    assert all(f"`{each.__name__}(" in text_of("handlers.md") for each in (Retry, Discard, Snooze, RateLimited))


def test_the_table_of_moves_has_every_script() -> None:
    moves = text_of("internals.md").partition("## Moves")[2].partition("\n## ")[0]
    assert set(scripts.names()) <= named_in(moves)


def test_the_tables_of_crash_points_have_every_point() -> None:
    section = text_of("internals.md").partition("### Every point")[2].partition("\n## ")[0]
    named = named_in(section)
    assert set(crashpoints.OTHERS) <= named
    assert {
        name.partition(".")[0] for name in crashpoints.names(scripts.names()) if name not in crashpoints.OTHERS
    } <= named


def test_the_table_of_backoffs_is_what_the_code_does() -> None:
    for curve in ("exponential", "linear", "constant"):
        row = next(line for line in text_of("lifecycle.md").splitlines() if line.startswith(f"| `{curve}`"))
        waits = [float(cell) for cell in row.strip("| ").split("|")[2:]]
        assert waits == [Backoff(curve).ceiling(failures) for failures in range(1, 11)]


def test_the_example_of_a_history_row_has_the_outcomes_that_there_are() -> None:
    worker = (ROOT / "worker/queue_side/decisions.py").read_text()
    outcomes = set(re.findall(r'_(?:dead|again)\(\s*"(\w+)"', worker)) | {"completed", "running", "lost", "cancelled"}
    assert outcomes <= named_in(text_of("api.md"))


def test_glossary_terms_occur_once_each() -> None:
    words = re.findall(r"^\| ([a-z ]+) \|", text_of("glossary.md"), re.MULTILINE)
    assert len(words) == len(set(words))
    assert set("job handler queue priority enqueue schedule fetch lease token heartbeat".split()) <= set(words)


def test_json_in_the_pages_is_json() -> None:
    for page in PAGES:
        for source in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
            msgspec.json.decode(source)
