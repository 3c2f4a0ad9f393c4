"""gunicorn's settings, from Gopher's: `gunicorn --config python:gopher.app.gunicorn_conf gopher.app.wsgi:app`."""

import os
import resource
import sys
from typing import Any

from gopher.base import own_process
from gopher.base.first_process import end_on_sigterm
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from gopher.telemetry import logs, tracing
from gopher.telemetry.service_manager import ServiceManager

from . import multiproc, reloads, supervision
from .capacity import THREADS, longest_upload
from .http_request import Request

# Until gunicorn has its own handlers.
end_on_sigterm()
own_process.begin()
try:
    _settings = Settings.from_env()
    _settings.check_listener()
except ConfigurationError as _error:
    sys.exit(str(_error))

logs.configure(_settings)
# Before gunicorn looks for it.
_service = ServiceManager()
# The folder of the processes' shared counters: created before any of them is started.
multiproc.ensure()
# Those of an earlier life in a configured folder.
multiproc.add_ended()

_host = f"[{_settings.server_host}]" if ":" in _settings.server_host else _settings.server_host
bind = f"{_host}:{_settings.server_port}"
proc_name = "gopher-api"

# Threads, so that requests that wait for a job don't need a process each; slow clients hold none (gunicorn_worker.py).
worker_class = "gopher.app.gunicorn_worker.Worker"
workers = _settings.web_concurrency
threads = THREADS
# Connections of a process. Each may also have a file open; some systems allow a process only 1024.
_files, _limit = resource.getrlimit(resource.RLIMIT_NOFILE)
if 0 <= _files < 4096:
    _files = 4096 if _limit < 0 else min(_limit, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _limit))
worker_connections = 1000 if _files < 0 else max(min(1000, (_files - 100) // 2), threads + 1)
# A process that does not report to its arbiter for this long is replaced. Requests have their own limits.
timeout = 30
# Longer than a request may wait for a job, shorter than platforms' delay before SIGKILL.
graceful_timeout = 27
keepalive = 5
# Processes are replaced now and then, not all at the same time, so that leaks of libraries don't accumulate.
max_requests = 200_000
max_requests_jitter = 50_000
# The heartbeat file of each process: on a disk, other writers could delay it.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - gunicorn makes a safe file

limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
# No request header may set a variable of the WSGI environment.
forwarder_headers = ""

# gunicorn's control socket is off: two installations on one machine would share it.
control_socket_disable = True
logger_class = "gopher.app.gunicorn_logs.Logger"


Request.base_path = _settings.base_path


def post_fork(server: Any, worker: Any) -> None:
    worker.read_timeout = _settings.server_read_timeout
    worker.write_timeout = _settings.server_write_timeout
    worker.longest_body = _settings.server_max_body
    worker.longest_upload = longest_upload(_settings)
    # Threads get the interpreter from a busy loop after 1 ms instead of 5, several times in each request.
    sys.setswitchinterval(0.001)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    if response is not None and response.response_length is None:
        # A stream, such as NDJSON. (Files are noticed when they are sent.)
        response.sock.is_transfer = True


def on_starting(server: Any) -> None:
    reloads.install(server)
    supervision.install(server, _service)


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    multiproc.add_ended([worker.pid])


def worker_exit(server: Any, worker: Any) -> None:
    tracing.stop()
