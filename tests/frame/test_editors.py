"""After the documented install of a checkout, editors and type checkers find all of Gopher."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .test_packages import MAPPED

USE = """\
from gopher import Client
from gopher.app import create_app
from gopher.cli.main import cli
from gopher.scheduler.loop import Scheduler
from gopher.testing import EagerClient
from gopher.worker.children.pool import Pool
from gopher.worker.supervisor import Supervisor
"""


@pytest.fixture(scope="module")
def checkout(root, tmp_path_factory) -> Path:
    """A fresh checkout, with an environment in which it is installed by `pip install --editable`."""
    copy = tmp_path_factory.mktemp("checkout")
    named = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, named.split("\0")):
        if (root / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/", "app/static/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, copy / name)
    # What pip asks of a project that it installs so (PEP 660), without looking for setuptools anywhere else.
    build = "import sys, setuptools.build_meta as backend; backend.build_editable(sys.argv[1])"
    run(sys.executable, "-c", build, copy / "wheels", cwd=copy)
    (wheel,) = (copy / "wheels").glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", copy / ".venv", cwd=copy)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", copy / ".venv"]
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=copy)
    return copy


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["in the checkout", "elsewhere"])
def place(request, checkout, tmp_path) -> Path:
    """A folder in which a file is edited."""
    return checkout if request.param == "in the checkout" else tmp_path


def test_jedi_finds_every_part(checkout, place):
    import jedi

    environment = jedi.create_environment(checkout / ".venv", safe=False)
    script = jedi.Script(USE, path=place / "use.py", environment=environment)
    for line, text in enumerate(USE.splitlines(), start=1):
        found = script.goto(line, len(text) - 1, follow_imports=True)
        assert len(found) == 1, text
        assert found[0].module_path is not None, text
        where = found[0].module_path.resolve()
        assert checkout in where.parents, (text, where)
        assert found[0].line, text


@pytest.mark.deep
def test_basedpyright_finds_every_part(checkout, place):
    (place / "use.py").write_text(f"{USE}reveal_type(Supervisor)\n")
    # Nothing is said of the type checker's own settings, so these are the ones that it has anywhere.
    command = [Path(sys.executable).with_name("basedpyright"), "--outputjson", place / "use.py"]
    python = ["--pythonpath", checkout / ".venv/bin/python"]
    done = subprocess.run([*command, *python], cwd=place, capture_output=True, text=True, check=False)
    told = [each["message"] for each in json.loads(done.stdout)["generalDiagnostics"]]
    assert 'Type of "Supervisor" is "type[Supervisor]"' in told
    assert not [each for each in told if "import" in each and ("gopher" in each or "unknown" in each)]


def test_an_install_of_a_checkout_brings_one_name(checkout):
    show = "import os, sys; print(*(name for each in sys.path if os.path.isdir(each) for name in os.listdir(each)))"
    names = run(checkout / ".venv/bin/python", "-c", show, cwd=checkout / "wheels").split()
    assert "gopher" in names
    assert not {"app", "worker", "scheduler", "cli", "testing", "tests"} & set(names)


def test_the_links_of_an_install_are_of_no_interest_to_git(checkout):
    run("git", "init", "--quiet", cwd=checkout)
    shown = run("git", "status", "--short", "--untracked-files=all", "gopher", ".editable", cwd=checkout)
    links = {os.path.relpath(each, checkout) for each in (checkout / "gopher").iterdir() if each.is_symlink()}
    assert links == {f"gopher/{folder}" for folder in MAPPED if folder != "gopher"}
    assert not [line for line in shown.splitlines() if line[3:].rstrip("/") in links or ".editable" in line]
