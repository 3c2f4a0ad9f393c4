"""Handlers of tests with files: they store what they were submitted with."""

from typing import Any

from gopher import Job, handler


@handler("copies")
def copies(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """Stores each of its uploads under a name that the payload may give."""
    for name, path in job.files.items():
        job.attach(path, name=payload.get(name) or path.name)
    return {"sizes": {name: path.stat().st_size for name, path in job.files.items()}}


@handler("lengths")
def lengths(job: Job, payload: dict[str, Any]) -> int:
    return len(payload["text"])


@handler("pages")
def pages(job: Job, payload: dict[str, Any]) -> None:
    """Stores texts: names and contents."""
    for name, content in payload.items():
        job.attach(content.encode(), name=name)
