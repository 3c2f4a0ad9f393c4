"""Gopher: one worker with two children, all settings at their defaults."""

import os
import sys

from driver import FILES, drive, server_url

from gopher.client import Client

client = Client(server_url())


def send_many(job, payloads):
    client.enqueue_many({"type": job, "payload": payload} for payload in payloads)


def work():
    environ = {**os.environ, "REDIS_URL": server_url(), "WORKER_CONCURRENCY": "2", "LOG_LEVEL": "error"}
    environ.setdefault("GOPHER_HANDLERS", "gopher_jobs")
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (FILES, os.environ.get("PYTHONPATH"))))
    os.execve(sys.executable, [sys.executable, "-m", "gopher.worker"], environ)


if __name__ == "__main__":
    drive(client.enqueue, work, send_many)
