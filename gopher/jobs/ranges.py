"""What a job may ask for, the same for who submits it and for the handler that declares it."""

#: Seconds: a job may wait, and its record be kept, for a leap year.
LONGEST_WAIT = 366 * 86400.0
LONGEST_TIMEOUT = 86400.0
MOST_RETRIES = 100
