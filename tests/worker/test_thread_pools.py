"""Thread pools of numeric libraries share the cores with the other children."""

import os

import msgspec
import pytest

CORES = len(os.sched_getaffinity(0))


@pytest.fixture
def threads(client, tmp_path, start_worker, monkeypatch):
    """Start a worker whose handler module looks at what numpy's BLAS will use; return what a job sees."""
    (tmp_path / "pools.py").write_text(
        "import os\n"
        "from gopher import Job, handler\n"
        "AT_IMPORT = os.environ.get('OPENBLAS_NUM_THREADS')\n"
        "@handler('look')\n"
        "def look(job: Job, payload: dict) -> list:\n"
        "    import numpy\n"
        "    numpy.ones((300, 300)) @ numpy.ones((300, 300))\n"
        "    return [AT_IMPORT, os.environ.get('OMP_NUM_THREADS'), len(os.listdir('/proc/self/task'))]\n"
    )

    def seen(**environ):
        start_worker(GOPHER_HANDLERS="pools", PYTHONPATH=str(tmp_path), **environ)
        return msgspec.json.decode(client.wait(client.enqueue("look", {}), 20).result)

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return seen


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_child_has_its_share_of_the_cores(threads, method):
    share = max(1, CORES // 2)
    assert threads(WORKER_CONCURRENCY="2", WORKER_START_METHOD=method) == [str(share), str(share), share]


def test_what_is_set_already_stays(threads):
    assert threads(WORKER_CONCURRENCY="2", OMP_NUM_THREADS="3")[1] == "3"


def test_it_can_be_another_number(threads):
    assert threads(WORKER_THREADS="5")[:2] == ["5", "5"]


def test_off_leaves_it_to_the_libraries(threads):
    assert threads(WORKER_THREADS="off")[:2] == [None, None]
