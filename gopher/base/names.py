"""Patterns of names that users choose. They become parts of keys, so braces and colons are not allowed."""

import re

from gopher.errors import InvalidJob

QUEUE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: A key that users choose, such as `customer:42`.
KEY = re.compile(r"[!-+\--~]{1,200}")
SCHEDULE_NAME = TYPE_NAME


def check_name(pattern: re.Pattern[str], name: str, field: str) -> str:
    """Validate a name. Raises InvalidJob."""
    if not pattern.fullmatch(name):
        raise InvalidJob(f"is {name!r:.60}: must match {pattern.pattern}", field)
    return name
