"""Limits of one process of the API."""

from gopher.config.settings import Settings

THREADS = 10
#: NDJSON bodies that are read at the same time: they may take minutes.
BULKS = 2
#: Requests that may wait for a job at the same time: other requests must always find a thread.
WAITERS = THREADS - BULKS - 2
#: Requests that may wait for replicas at the same time, for the same reason.
CONFIRMING = WAITERS
#: Uploads that are handled at the same time, besides these.
TRANSFERS = THREADS
#: Seconds that an NDJSON body may take.
LONGEST_BULK = 600.0
#: Minimum bytes per second at which NDJSON bodies must arrive, and responses must be read.
LEAST_RATE = 1024
#: Connections of one process to the server: commands are short, and small hosting plans allow 20 in total.
CONNECTIONS = 3
#: Timeout of one command, in seconds; a call makes at most two attempts.
REDIS_TIMEOUT = 2.0
#: The same for probes, whose callers have short timeouts.
PROBE_TIMEOUT = 0.5
#: Seconds that a request may wait for a job: below the 30 after which routers time out.
LONGEST_WAIT = 25.0
#: Bytes of a form with files besides these, at least: the job, and what separates the parts.
_FORM_TEXT = 2**20


def longest_job_part(settings: Settings) -> int:
    """Return how long the job in a form may be: as long as one that is a body."""
    return max(_FORM_TEXT, settings.server_max_body)


def longest_upload(settings: Settings) -> int:
    """Return how long the body of an upload may be."""
    return settings.file_max + longest_job_part(settings)
