"""The process `gopherctl` itself: fast, quiet, never a traceback."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gopher.cli.processes import gopherctl

from gopher import __version__
from gopher.client import Client

from .conftest import Run, answer_on_a_terminal


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_says_version_and_help_without_loading_the_queue(option: str) -> None:
    code = f"import sys; sys.argv = ['gopherctl', {option!r}]\nfrom gopher.cli.main import run\nrun()\n"
    code += "print('loaded:', [name for name in ('redis', 'msgspec', 'rich', 'flask') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert "loaded: []" in told


def test_says_its_version(run: Run) -> None:
    assert run("--version").out == f"gopherctl, version {__version__}\n"


def test_an_unavailable_server_is_reported_in_a_sentence_with_the_next_step(run: Run) -> None:
    answer = run("stats", "--redis-url", "redis://127.0.0.1:1")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("Error: the server is unreachable")
    assert "gopherctl up" in answer.err
    assert "Traceback" not in answer.err


def test_settings_that_can_not_be_read_are_all_named(run: Run) -> None:
    answer = run("stats", REDIS_URL="ftp://x", WORKER_CONCURRENCY="many")
    assert answer.code == 1
    assert "REDIS_URL='ftp://x'" in answer.err
    assert "WORKER_CONCURRENCY='many'" in answer.err


def test_handlers_that_can_not_be_imported_are_told_in_a_sentence(run: Run) -> None:
    answer = run("types", GOPHER_HANDLERS="no_such_module")
    assert answer.code == 1
    assert "GOPHER_HANDLERS: there is no module 'no_such_module'" in answer.err
    assert "Traceback" not in answer.err


def test_handlers_in_the_current_folder_are_found(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my_handlers.py").write_text(
        "from gopher import handler\n@handler('mine')\ndef mine(job, payload):\n    'Does my thing.'\n"
    )
    answer = run("types", "--json", GOPHER_HANDLERS="my_handlers")
    assert [(each["name"], each["description"]) for each in answer.json["types"]] == [("mine", "Does my thing.")]


def test_a_reader_that_leaves_early_is_no_error_to_speak_of(environ: dict[str, str]) -> None:
    with subprocess.Popen(
        gopherctl("types", "--json"), env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_a_completion_script(run: Run, shell: str) -> None:
    assert "_GOPHERCTL_COMPLETE" in run("completion", shell).out
    assert run("completion", shell, "--json").json["shell"] == shell


def test_completes_commands(run: Run) -> None:
    told = run(_GOPHERCTL_COMPLETE="bash_complete", COMP_WORDS="gopherctl li", COMP_CWORD="1").out
    assert told == "plain,list-failed\nplain,limits\n"


def test_completes_job_types(run: Run) -> None:
    told = run(_GOPHERCTL_COMPLETE="bash_complete", COMP_WORDS="gopherctl submit -t im", COMP_CWORD="3").out
    assert told == "plain,image_resize\n"


@pytest.mark.parametrize(
    ("shell", "lookup"),
    [("bash", "complete -p gopherctl"), ("zsh", "print $_comps[gopherctl]"), ("fish", "complete --command gopherctl")],
)
def test_the_completion_script_loads_in_its_shell(run: Run, shell: str, lookup: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        assert shell != "bash"
        pytest.skip(f"there is no {shell} here")
    script = tmp_path / "completion"
    script.write_text(run("completion", shell).out)
    prepare = "autoload -U compinit; compinit -u; " if shell == "zsh" else ""
    loaded = subprocess.run(
        [shell, "-c", f"{prepare}. {script}; {lookup}"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert "_gopherctl_completion" in loaded.stdout or "_GOPHERCTL_COMPLETE" in loaded.stdout


def test_a_command_that_is_misspelt_is_refused_with_the_nearest_ones(run: Run) -> None:
    answer = run("sumbit")
    assert answer.code == 2
    assert "unknown command 'sumbit'. Did you mean `gopherctl submit` or `gopherctl submit-many`" in answer.err


def test_a_server_that_up_runs_in_this_folder_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".gopher").mkdir()
    (tmp_path / ".gopher/server.sock").touch()
    nowhere = {"REDIS_URL": "", "REDIS_DB": "0", "REDIS_TIMEOUT": "500ms"}
    answer = run("stats", **nowhere) if not _somebody_listens() else None
    if answer is None:
        pytest.skip("a server listens at the default address")
    assert (
        f"`gopherctl up` is running one in this folder: export REDIS_URL=unix://{tmp_path}/.gopher/server.sock"
        in answer.err
    )


def _somebody_listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 6379)) == 0


def test_a_field_that_is_refused_is_called_by_its_option(run: Run) -> None:
    answer = run("limits", "set", "email", "--rate", "fast")
    expected = "expected a rate such as 10/s, 600/m, 5/h or 1/10s, from 1/366d to 1000000/s"
    assert (answer.code, answer.err) == (2, f"Error: --rate: {expected}\n")
    assert "--cron: is 'never'" in run("schedules", "add", "x", "-t", "cleanup", "--cron", "never").err


def test_an_id_is_whole_on_a_narrow_terminal(environ: dict[str, str], client: Client) -> None:
    job_id = client.enqueue("image_resize", {})
    told = answer_on_a_terminal({**environ, "TERM": "xterm", "COLUMNS": "60"}, "", "jobs").out
    (line,) = [line for line in told.splitlines() if job_id in line]
    assert "image_resize  pending" in re.sub(r"\x1b\[[0-9;]*m", "", line)
