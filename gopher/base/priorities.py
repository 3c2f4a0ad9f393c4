"""The priorities of jobs: in this order, the first one first."""

#: From the most urgent down; the order of strict priority.
PRIORITIES = ("high", "normal", "low")
