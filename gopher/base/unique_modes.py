"""What a submission does to an unfinished job with its unique key."""

KEEP = "keep"
REPLACE = "replace"
REJECT = "reject"

#: Mode -> its meaning.
MODES = {
    KEEP: "the other job stays as it is, and this one is not stored",
    REPLACE: "the other job gets the payload, the options and the due time of this one, unless it runs",
    REJECT: "this one is rejected",
}
#: For the script: like `reject`, but the other jobs of the call are stored.
SKIP = "skip"
