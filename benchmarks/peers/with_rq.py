"""rq: two workers, each of which forks a process per job."""

import os

from driver import drive, program, server_port, server_url
from redis import Redis
from rq import Queue

queue = Queue("bench", connection=Redis(port=server_port()))


def send_many(job, payloads):
    queue.enqueue_many([Queue.prepare_data(f"rq_jobs.{job}", args=(each,), result_ttl=0) for each in payloads])


WORKER = [program("rq"), "worker-pool", "bench", "-n", "2", "-u", server_url(), "-q", "-l", "ERROR"]

if __name__ == "__main__":
    if os.environ.get("BENCH_VARIANT") == "simple":
        WORKER += ["-w", "rq.worker.SimpleWorker"]
    drive(lambda job, payload: queue.enqueue(f"rq_jobs.{job}", payload, result_ttl=0), WORKER, send_many)
