"""Test helpers for applications: run handlers in process, and a client that runs its jobs.

    from gopher.testing import EagerClient, run_job

`run_job` calls a handler and returns its result. `EagerClient` is a `gopher.Client` with its own server and an inline
worker: it uses the same scripts as in production, and every job has run when `enqueue` returns.
"""

from .eager import EagerClient
from .running import Recorder, run_job

__all__ = ["EagerClient", "Recorder", "run_job"]
