"""Runs jobs in the environment of this Python, with its own worker and scheduler. Needs REDIS_URL."""

import os
import subprocess
import sys
import time
from pathlib import Path

GOPHERCTL = str(Path(sys.executable).with_name("gopherctl"))
_HANDLERS = """\
from gopher import Job, handler

@handler("greet")
def greet(job: Job, payload: dict) -> str:
    return f"Hello {payload['name']}!"
"""
#: A command each, with a part of its output.
_COMMANDS = {
    ("stats",): "default",
    ("workers",): "0/",
    ("jobs", "--status", "completed"): "greet",
    ("types",): "greet",
    ("schedules",): "",
    ("limits",): "",
    ("health",): "healthy",
    ("submit", "--type", "greet", "--payload", '{"name": "Ann"}', "--wait"): "Hello Ann!",
}


def _wait_until_said(said: str, words: tuple[str, ...]) -> None:
    """Run a command until it succeeds and says something: records of workers are late, and a server may be slow."""
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run([GOPHERCTL, *words], check=False, capture_output=True, text=True)
        if done.returncode == 0 and said in done.stdout + done.stderr:
            return
        assert time.monotonic() < deadline, f"{words}: {done.stdout}{done.stderr}"


def main() -> None:
    Path("greetings.py").write_text(_HANDLERS)
    os.environ["GOPHER_HANDLERS"] = "greetings"
    processes = [subprocess.Popen([GOPHERCTL, name]) for name in ("worker", "scheduler")]
    try:
        _submit()
        for words, said in _COMMANDS.items():
            _wait_until_said(said, words)
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(120) for process in processes] == [0, 0]


def _submit() -> None:
    from gopher import Client

    with Client() as client:
        ids = [client.enqueue("greet", {"name": "Ann"}), client.enqueue("greet", {"name": "Bo"}, delay=0.5)]
        for job_id in ids:
            view = client.wait(job_id, 60)
            assert view.status == "completed", view
        deadline = time.monotonic() + 60
        while client.health().status != "healthy" and time.monotonic() < deadline:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
