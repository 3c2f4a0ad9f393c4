"""Patterns of names that users choose. They become parts of keys, so braces and colons are not allowed."""

import re

from gopher.base.patterns import regex
from gopher.errors import InvalidJob

QUEUE_NAME = regex(r"[a-z0-9][a-z0-9_-]{0,62}")
TYPE_NAME = regex(r"[a-z0-9][a-z0-9_.-]{0,63}")
JOB_ID = regex(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: A key that users choose, such as `customer:42`.
KEY = regex(r"[!-+\--~]{1,200}")
#: Of a tenant, such as `customer:42`.
TENANT = regex(r"[A-Za-z0-9._:@-]{1,64}")
SCHEDULE_NAME = TYPE_NAME
#: Of an upload.
FILE_ID = JOB_ID
#: Under which a job's handler finds an upload: the name of a part of a multipart form.
PART_NAME = regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
#: Of an API key: the first digits of the SHA-256 of its secret.
KEY_ID = regex(r"[0-9a-f]{12}")
#: Of an API key. Many generated secrets don't match, so a secret with a colon is not mistaken for name:secret.
KEY_NAME = regex(r"[\w.@+-][\w .@+/-]{0,63}")


def canonical_id(text: str) -> str:
    """Return an id as it is stored. UUIDs may be given in upper case (RFC 9562, section 4)."""
    return text.lower()


def check_name(pattern: re.Pattern[str], name: str, field: str) -> str:
    """Validate a name. Raises InvalidJob."""
    if not pattern.fullmatch(name):
        raise InvalidJob(f"is {name!r:.60}: must match {pattern.pattern}", field)
    return name
