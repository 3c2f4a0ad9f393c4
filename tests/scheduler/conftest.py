"""Schedulers as real processes, and workers beside them where a test needs one."""

from tests.worker.conftest import client, own_client, own_server, start_scheduler, start_worker, started

__all__ = ["client", "own_client", "own_server", "start_scheduler", "start_worker", "started"]
