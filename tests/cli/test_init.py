"""`gopherctl init`: into an empty folder, and into projects of several frameworks."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from gopher.cli.main import run as gopherctl_here
from gopher.cli.processes import gopherctl

from tests.cli.conftest import Answer, Run
from tests.helpers import wait_until

README = Path(__file__).parents[2] / "README.md"
FLASK = "from flask import Flask\n\nserver = Flask('shop')\n"
FACTORY = "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n"
MANAGE = "import os\n\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings')\n"
DJANGO_SETTINGS = "SECRET_KEY = 'x'\nROOT_URLCONF = 'config.urls'\nINSTALLED_APPS = []\n"

#: Framework -> files of the project, lines that are written, and whether the written test is run here.
PROJECTS = {
    "": ({}, ["web: gopherctl web --handlers jobs"], True),
    "flask": ({}, ["web: gunicorn app:app", "from app import app"], True),
    "flask with an application": (
        {"shop/__init__.py": "", "shop/web.py": FLASK},
        ["web: gunicorn shop.web:server", "from shop.web import server as app"],
        True,
    ),
    "flask with a factory": (
        {"shop/__init__.py": FACTORY},
        ['web: gunicorn "shop:create_app()"', "from shop import create_app"],
        True,
    ),
    "django": (
        {"manage.py": MANAGE, "config/__init__.py": "", "config/settings.py": DJANGO_SETTINGS},
        ["web: gunicorn config.wsgi", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")'],
        find_spec("django") is not None,
    ),
    "fastapi": ({}, ["web: uvicorn main:app --host 0.0.0.0 --port ${PORT:-8000}", "from jobs import greet"], False),
    "fastapi with an application": (
        {"api.py": "from fastapi import FastAPI\n\nservice = FastAPI()\n"},
        ["web: uvicorn api:service --host 0.0.0.0 --port ${PORT:-8000}"],
        False,
    ),
}


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `gopherctl init` in this process."""

    def run(*options: str) -> Answer:
        monkeypatch.chdir(tmp_path)
        code = gopherctl_here(["init", *options])
        return Answer(code, *capsys.readouterr())

    return run


def prepare(folder: Path, project: str) -> tuple[list[str], list[str], bool]:
    """Write the files of a project; return the option for it, the lines to expect, and whether its test can run."""
    files, lines, runs = PROJECTS[project]
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    framework = project.partition(" ")[0]
    return ([f"--{framework}"] if framework else []), lines, runs


def pytest_in(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("project", PROJECTS)
def test_what_is_written_suits_the_project(init: Run, tmp_path: Path, project: str) -> None:
    option, lines, _ = prepare(tmp_path, project)
    answer = init(*option, "--json")
    assert answer.code == 0, answer.err
    written = "\n".join((tmp_path / name).read_text() for name in answer.json["created"])
    assert set(lines) <= set(written.splitlines()) | set(written.split("    "))
    assert "$" not in written.replace("${PORT:-8000}", "")
    assert answer.json["left_alone"] == []
    for name in answer.json["created"]:
        if name.endswith(".py"):
            compile((tmp_path / name).read_text(), name, "exec")


def test_the_readme_shows_the_handler_that_is_written(init: Run, tmp_path: Path) -> None:
    assert init("--json").code == 0
    written = (tmp_path / "jobs.py").read_text().partition('"""\n\n')[2]
    code = re.sub(r"^ *# .*\n", "", written, flags=re.MULTILINE)
    assert f"```python\n# jobs.py\n{code}```" in README.read_text()


def test_a_file_that_exists_is_left_alone_and_the_rest_is_named(init: Run, tmp_path: Path) -> None:
    mine = {"Procfile": "web: mine\n", "requirements.txt": "django\n", "jobs.py": "x = 1\n"}
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "tests").mkdir()
    first, again = init("--json").json, init("--json").json
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    left = {each["path"]: each["add"] for each in first["left_alone"]}
    assert left.keys() == mine.keys()
    assert left["Procfile"].splitlines() == [
        "worker: gopherctl worker --handlers jobs",
        "scheduler: gopherctl scheduler --handlers jobs",
    ]
    assert left["requirements.txt"].startswith("gopherctl[all]~=")
    assert again["created"] == []
    assert again["left_alone"] == first["left_alone"]


def test_a_test_is_written_only_for_a_module_that_has_the_task(init: Run, tmp_path: Path) -> None:
    module = tmp_path / "tasks.py"
    (tmp_path / "tests").mkdir()
    module.write_text("def send(): ...\n")
    told = init("--module", "tasks", "--json").json
    assert (tmp_path / "tests/test_tasks.py").exists() is False
    assert told["next"] == ["gopherctl up --handlers tasks"]
    module.write_text("@task()\ndef greet(name: str) -> str: ...\n")
    told = init("--module", "tasks", "--json").json
    assert told["created"] == ["tests/test_tasks.py"]
    assert len(told["next"]) == 3


def test_django_without_a_project_is_told_how_to_begin(init: Run, tmp_path: Path) -> None:
    answer = init("--django")
    assert (answer.code, answer.out) == (1, "")
    assert "django-admin startproject config ." in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.deep
@pytest.mark.parametrize("project", [name for name, (_, _, runs) in PROJECTS.items() if runs])
def test_the_written_test_passes(init: Run, tmp_path: Path, project: str) -> None:
    option, _, _ = prepare(tmp_path, project)
    assert init(*option, "--module", "shop_jobs").code == 0
    done = pytest_in(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.deep
def test_the_written_flask_application_submits_jobs_and_rejects_invalid_ones(init: Run, tmp_path: Path) -> None:
    assert init("--flask").code == 0
    script = """
from app import app
from gopher.testing import EagerClient

with EagerClient(), app.test_client() as browser:
    accepted = browser.post("/hello", json={"name": "Ann"})
    print(accepted.status_code, browser.get(f"/jobs/{accepted.json['job_id']}").json["status"])
    print(browser.post("/hello", json={"name": 7}).status_code, browser.get("/jobs/nosuch").status_code)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-2:] == ["202 completed", "400 404"], done.stderr


@pytest.mark.deep
def test_the_next_commands_run_a_first_job(run: Run, tmp_path: Path) -> None:
    up, submit, _ = run("init", "--json").json["next"]
    environ = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    environ |= {"SERVER_PORT": "0", "WEB_CONCURRENCY": "1", "WORKER_CONCURRENCY": "1"}
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            gopherctl(*up.split()[1:]), cwd=tmp_path, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        ready = wait_until(lambda: _address(tmp_path / "up.log") or process.poll() is not None, 120)
        assert isinstance(ready, str), (tmp_path / "up.log").read_text()
        assert submit.startswith("GOPHER_URL=http://localhost:8080 gopherctl submit ")
        # As it is printed, but for the port.
        command = submit.replace("http://localhost:8080", ready)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        shell = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env={**environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert shell.returncode == 0, shell.stderr
        assert "completed" in shell.stdout
        assert "Hello Ann!" in shell.stdout
        # The line that `up` prints is all that another terminal needs.
        (export,) = re.findall(r"another terminal: (export .+)", (tmp_path / "up.log").read_text())
        submit = """gopherctl submit -t jobs.greet -p '{"name": "Ben"}' --wait"""
        code = "from jobs import greet; print(greet.delay('Cleo').result())"
        both = subprocess.run(
            ["sh", "-c", f'{export}; {submit} && python -c "{code}"'],
            cwd=tmp_path,
            env={**environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert both.returncode == 0, both.stderr
        assert "Hello Ben!" in both.stdout
        assert "Hello Cleo!" in both.stdout
    finally:
        process.terminate()
        process.wait(120)


def _address(log: Path) -> str:
    _, found, rest = log.read_text().partition("ready: ")
    return rest.split()[0] if found else ""
