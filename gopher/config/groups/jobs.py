"""Jobs and queues: retention and limits."""

from gopher.base.durability import DURABILITIES, STORED
from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class JobSettings:
    """Jobs and queues: retention and limits."""

    result_ttl: float = setting(
        "GOPHER_RESULT_TTL", kinds.duration(), "1h", "How long finished jobs are kept (per job: retention)."
    )
    dead_ttl: float = setting("GOPHER_DEAD_TTL", kinds.duration(above=0), "30d", "How long dead letters are kept.")
    dead_max: int = setting("GOPHER_DEAD_MAX", kinds.integer(1, 10**9), "100000", "Maximum number of dead letters.")
    queues: tuple[str, ...] = setting(
        "GOPHER_QUEUES",
        kinds.or_nothing(kinds.QUEUES),
        "",
        "The allowed queues; jobs for others are rejected. By default any, up to GOPHER_MAX_QUEUES.",
    )
    durability: str = setting(
        "GOPHER_DURABILITY",
        kinds.choice(*DURABILITIES),
        STORED,
        "Default durability of submissions: stored, replicated or synced (per job: durability).",
    )
    durability_replicas: int = setting(
        "GOPHER_DURABILITY_REPLICAS",
        kinds.integer(0, 100),
        "1",
        "Number of replicas that have to confirm a submission; with 0, synced requires only the server's own disk.",
    )
    durability_timeout: float = setting(
        "GOPHER_DURABILITY_TIMEOUT",
        kinds.duration(above=0, most=20.0),
        "2s",
        "How long a submission waits to be confirmed before it is answered with 503 not_replicated.",
    )
    withdraw_after: float = setting(
        "GOPHER_WITHDRAW_AFTER",
        kinds.duration(above=0),
        "10m",
        "How long the schedules and limits of a handler remain once no running process declares them.",
    )
    max_queues: int = setting(
        "GOPHER_MAX_QUEUES",
        kinds.integer(1, 100_000),
        "1000",
        "Maximum number of queues; jobs for further queues are rejected, unless a worker serves them.",
    )
    max_waiting: int | None = setting(
        "GOPHER_MAX_WAITING",
        kinds.optional(kinds.integer(1, 10**9)),
        "",
        "Maximum number of waiting jobs per queue; submissions above it get 429 queue_limit.",
    )
    max_waiting_per_owner: int | None = setting(
        "GOPHER_MAX_WAITING_PER_OWNER",
        kinds.optional(kinds.integer(1, 10**9)),
        "",
        "The same for the jobs of an owner in a queue.",
    )
