"""Ranges of options, the same for submissions and for declarations of handlers."""

#: Maximum delay and retention in seconds: a leap year.
LONGEST_WAIT = 366 * 86400.0
LONGEST_TIMEOUT = 86400.0
MOST_RETRIES = 100
#: Maximum number of tags of a job.
MAX_TAGS = 20
