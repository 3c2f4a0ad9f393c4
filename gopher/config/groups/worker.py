"""Workers: children, their limits, and how jobs are taken."""

from gopher.config import kinds
from gopher.config.kinds import Weights
from gopher.config.variables import group, setting

_DAY = 86400.0


@group
class WorkerSettings:
    """Workers: children, their limits, and how jobs are taken."""

    worker_concurrency: int = setting(
        "WORKER_CONCURRENCY",
        kinds.CONCURRENCY,
        "5",
        "Number of child processes per worker; auto: one per core, as far as memory allows.",
    )
    worker_threads: str = setting(
        "WORKER_THREADS",
        kinds.THREADS,
        "auto",
        "Threads of numeric libraries (OpenMP, BLAS, OpenCV, libvips) in a child; auto: cores divided by children.",
    )
    worker_queues: tuple[str, ...] = setting(
        "WORKER_QUEUES", kinds.QUEUES, "default", "Queues that a worker serves, in order of preference."
    )
    worker_poll_interval: float = setting(
        "WORKER_POLL_INTERVAL",
        kinds.duration(above=0),
        "1s",
        "Maximum time between polls of an idle worker; new jobs wake it immediately.",
    )
    worker_max_retries: int = setting("WORKER_MAX_RETRIES", kinds.integer(0, 100), "3", "Default number of retries.")
    worker_job_timeout: float = setting(
        "WORKER_JOB_TIMEOUT", kinds.duration(above=0, most=_DAY), "30s", "Default timeout of a job."
    )
    worker_kill_grace: float = setting(
        "WORKER_KILL_GRACE",
        kinds.duration(),
        "5s",
        "Time between the soft timeout (an exception in the handler) and SIGKILL.",
    )
    worker_shutdown_timeout: float = setting(
        "WORKER_SHUTDOWN_TIMEOUT",
        kinds.duration(),
        "30s",
        "How long running jobs may continue after SIGTERM; 20s by default on Heroku, which sets DYNO.",
    )
    worker_burst: bool = setting(
        "WORKER_BURST",
        kinds.BOOLEAN,
        "0",
        "1 ends a worker once no job of its queues is waiting; it exits with 1 if jobs became dead letters.",
    )
    worker_start_method: str = setting(
        "WORKER_START_METHOD",
        kinds.START_METHOD,
        "fork",
        "How child processes start: fork, or spawn, which shares no memory but is safe for libraries with threads.",
    )
    worker_max_jobs_per_child: int = setting(
        "WORKER_MAX_JOBS_PER_CHILD", kinds.integer(1, 10**9), "10000", "Number of jobs after which a child is replaced."
    )
    worker_max_rss_per_child: int | None = setting(
        "WORKER_MAX_RSS_PER_CHILD",
        kinds.optional(kinds.size(2**20)),
        "",
        "Resident memory above which a child is replaced after its job.",
    )
    worker_memory: int | None = setting(
        "WORKER_MEMORY",
        kinds.MEMORY,
        "auto",
        "Memory that a worker's jobs may use together: jobs that do not fit wait; auto: the container's or machine's.",
    )
    worker_max_memory_per_child: int | None = setting(
        "WORKER_MAX_MEMORY_PER_CHILD",
        kinds.MEMORY,
        "auto",
        "Resident memory above which a child is killed while it runs a job; auto: none, or with WORKER_MEMORY=off "
        "memory divided by children.",
    )
    worker_max_address_space_per_child: int | None = setting(
        "WORKER_MAX_ADDRESS_SPACE_PER_CHILD",
        kinds.optional(kinds.size(2**26)),
        "",
        "Address space limit of a child; handlers that exceed it get a MemoryError.",
    )
    worker_hide_env: tuple[str, ...] = setting(
        "WORKER_HIDE_ENV",
        kinds.or_nothing(kinds.HIDDEN),
        "",
        "Further variables that handlers must not see, such as AWS_*; GOPHER_API_KEYS is always hidden.",
    )
    worker_priority_weights: Weights = setting(
        "WORKER_PRIORITY_WEIGHTS",
        kinds.WEIGHTS,
        kinds.DEFAULT_WEIGHTS,
        "Weights of the priorities while all have waiting jobs; strict for strict order.",
    )
    worker_max_frozen: int = setting(
        "WORKER_MAX_FROZEN",
        kinds.FROZEN,
        "auto",
        "Maximum number of preemptible jobs that are frozen at once; auto: number of children; 0: none.",
    )
    worker_max_frozen_time: float = setting(
        "WORKER_MAX_FROZEN_TIME",
        kinds.duration(),
        "5m",
        "How long an attempt may be frozen in all; then it continues when the next job ends, and is not frozen again.",
    )
    worker_lease: float = setting(
        "WORKER_LEASE",
        kinds.duration(above=0),
        "30s",
        "Time without a heartbeat after which a worker is considered lost and its jobs are requeued.",
    )
    worker_max_crashes: int = setting(
        "WORKER_MAX_CRASHES",
        kinds.integer(1, 1000),
        "3",
        "Number of crashes after which a job becomes a dead letter (poison pill).",
    )
    handlers: tuple[str, ...] = setting(
        "GOPHER_HANDLERS", kinds.MODULES, "gopher.handlers", "Modules to import handlers from."
    )
