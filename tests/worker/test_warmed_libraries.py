"""A worker whose preload() warms libraries that keep threads: no job hangs, and the log names them."""

import pytest

from tests.worker.processes import error_of, result_of

pytestmark = pytest.mark.deep


def test_no_job_hangs_in_a_worker_that_has_warmed_scikit_learn_and_libvips(client, start_worker):
    worker = start_worker(GOPHER_HANDLERS="tests.worker.warmed_handlers", OMP_NUM_THREADS="4")
    ids = [client.enqueue(job_type, {}, timeout="2m", max_retries=0) for job_type in ("cluster", "shrink") * 10]
    views = [client.wait(job_id, 240) for job_id in ids]
    assert [error_of(view) for view in views] == [{}] * 20
    assert [result_of(view) for view in views] == [8, True] * 10
    assert {view.attempts for view in views} == {1}
    (warning,) = [line for line in worker.log.splitlines() if "children are spawned, not forked" in line]
    assert "tests.worker.warmed_handlers.preload()" in warning
    for library in ("libgomp", "libvips"):
        assert library in warning
    assert "libvips worker" in warning
