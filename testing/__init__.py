"""For the tests of those who use Gopher: handlers run in process, and a client that runs what it is given.

    from gopher.testing import EagerClient, run_job

`run_job` calls one handler and returns its result. `EagerClient` is a `gopher.Client` on a server of its own, with a
worker inside: the same scripts as in production, and every job has run when `enqueue` returns.
"""

from .eager import EagerClient
from .running import Recorder, run_job

__all__ = ["EagerClient", "Recorder", "run_job"]
