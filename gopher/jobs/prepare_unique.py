"""The unique key of a submission, and what to do about another job that has it."""

from gopher.base.unique_modes import KEEP, MODES, REPLACE
from gopher.errors import InvalidJob

from .prepare_times import duration
from .ranges import LONGEST_WAIT
from .submission import Submission


def read_unique_for(submission: Submission) -> float:
    seconds = duration(submission.unique_for, "/unique_for")
    if seconds is None:
        return LONGEST_WAIT
    if submission.unique_key is None:
        raise InvalidJob("requires unique_key", "/unique_for")
    if seconds <= 0:
        raise InvalidJob("must be greater than 0", "/unique_for")
    return seconds


def read_unique_mode(submission: Submission) -> str:
    """Return the mode, "" for the default one."""
    mode = submission.unique_mode
    if mode is None or mode == KEEP:
        return ""
    if mode not in MODES:
        raise InvalidJob(f"is {mode!r:.60}: must be one of {', '.join(MODES)}", "/unique_mode")
    if submission.unique_key is None:
        raise InvalidJob("requires unique_key", "/unique_mode")
    if mode == REPLACE and submission.after:
        raise InvalidJob("can't be given together with unique_mode replace: send one of them", "/after")
    return mode


def read_max_wait(submission: Submission) -> float | None:
    seconds = duration(submission.max_wait, "/max_wait")
    if seconds is None:
        return None
    if submission.unique_mode != REPLACE:
        raise InvalidJob("requires unique_mode replace", "/max_wait")
    if seconds <= 0:
        raise InvalidJob("must be greater than 0", "/max_wait")
    return seconds
