"""The latencies that are measured, and the buckets that they are counted into: the only place where they are listed.

Buckets are stored by their number in the hash `histogram:<type>`. So counts of before a change of the bounds belong to
other bounds than those of after it: a new bound goes to the end, or the names get another version with it.
"""

#: What is measured of each job type: how long jobs waited, and how long attempts ran.
HISTOGRAMS = ("wait", "run")
#: Upper bounds of the buckets in ms; what took longer goes into one more bucket.
BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000)
