"""Handlers that say what they are told to, in every place where a job can say something."""

import time
from pathlib import Path
from typing import Any

from gopher import Job, handler


@handler("speak", timeout="60s")
def speak(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """Logs its text, tells it as progress, and returns it."""
    for text in payload["texts"]:
        job.log("%s", text)
        job.progress(0.5, text)
    return {text: text for text in payload["texts"]}


@handler("break")
def broken(job: Job, payload: dict[str, Any]) -> None:
    """Fails with its text as the message, in a class of that name."""
    for text in payload["texts"]:
        job.log("%s", text)
    error = type(payload["texts"][0].replace("\0", ""), (Exception,), {})
    raise error(" ".join(payload["texts"]))


@handler("hold", timeout="60s")
def hold(job: Job, payload: dict[str, Any]) -> str:
    """Runs until there is a file, and says how far it is."""
    job.progress(0.25, payload["text"])
    while not Path(payload["until"]).exists():
        time.sleep(0.02)
    return "let go"
