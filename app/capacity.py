"""How much one process of the API does at once."""

THREADS = 10
#: Bodies of lines that are read at the same time: they may take minutes.
BULKS = 2
#: Requests that may wait for a job at the same time: the others must always find a thread.
WAITERS = THREADS - BULKS - 2
#: Seconds that a body of lines may take.
LONGEST_BULK = 600.0
#: Bytes a second at which bodies of lines have to come, and answers to be read, at least.
LEAST_RATE = 1024
#: Connections of one process to the server: commands are short, and small plans allow 20 in all.
CONNECTIONS = 3
#: Seconds that one command may take, here; a call is given up after the second of its attempts at the latest.
REDIS_TIMEOUT = 2.0
#: The same for the probes: they are asked by what gives up early itself.
PROBE_TIMEOUT = 0.5
#: Seconds that a request may wait for a job: below the 30 after which routers give up.
LONGEST_WAIT = 25.0
