"""Handlers that use files. `GOPHER_HANDLERS=tests.worker.file_handlers`."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from gopher import Job, handler


@handler("files.copy")
def copy(job: Job, payload: dict) -> dict:
    """Stores the file that it was submitted with, from its path, and its beginning, from memory."""
    path = job.files["file"]
    again = job.files["file"]
    job.attach(path, name="copy.bin")
    job.attach(path)
    job.attach(path.read_bytes()[:10], name="beginning.txt")
    return {
        "names": list(job.files), "name": path.name, "size": path.stat().st_size, "path": str(path),
        "pid": os.getpid(), "same": path == again, "folder": str(path.parent.parent),
    }  # fmt: skip


@handler("files.threads")
def threads(job: Job, payload: dict) -> dict:
    """Asks for its file in many threads at once, and stores one in each."""
    start = Barrier(16)

    def read_and_store(number: int) -> tuple[str, int]:
        start.wait()
        path = job.files["file"]
        job.attach(path, name=f"{number}.bin")
        return str(path), path.stat().st_size

    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(read_and_store, range(16)))
    folders = {folder for path, _ in found for folder in Path(path).parents[2].iterdir()}
    return {"found": sorted(found), "folders": len(folders)}


@handler("files.die")
def die(job: Job, payload: dict) -> None:
    """Is killed while it has a file."""
    path = job.files["file"]
    Path(payload["note"]).write_text(str(path))
    while True:
        time.sleep(0.01)


@handler("files.sheet")
def sheet(job: Job, payload: dict) -> dict:
    """Reads what its parents have stored."""
    return {parent: job.parent_file(parent, "beginning.txt").read_text() for parent in job.parents}


@handler("files.large", attach_result=True)
def large(job: Job, payload: dict) -> dict:
    return {"numbers": list(range(payload["count"]))}


@handler("files.sum")
def total(job: Job, payload: dict) -> int:
    return sum(sum(result["numbers"]) for result in job.parents.values())


@handler("files.length")
def length(job: Job, payload: dict) -> dict:
    refused = ""
    try:
        job.attach(b"another", name="payload.json")
    except ValueError as error:
        refused = str(error)
    return {"length": len(payload["text"]), "refused": refused}


@handler("files.wrong")
def wrong(job: Job, payload: dict) -> None:
    if payload["how"] == "name":
        job.attach(b"x", name="../escape.txt")
    elif payload["how"] == "size":
        job.attach(b"x" * (int(os.environ["MOST"]) + 1), name="big.bin")
    elif payload["how"] == "missing":
        job.files["file"].read_bytes()
