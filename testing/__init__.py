"""Test helpers for applications: run handlers in process, and a client that runs its jobs.

    from gopher.testing import EagerClient, replay_job, run_job

`run_job` calls a handler and returns its result. `EagerClient` is a `gopher.Client` with its own server and an inline
worker: it uses the same scripts as in production, and every job has run when `enqueue` returns. `replay_job` runs the
handler of a job of a server, such as a dead letter, and changes nothing there.
"""

from .eager import EagerClient
from .replaying import CannotReplay, Replay, Replayed, replay_job
from .running import Recorder, run_job

__all__ = ["CannotReplay", "EagerClient", "Recorder", "Replay", "Replayed", "replay_job", "run_job"]
