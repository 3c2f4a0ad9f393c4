"""The shapes of names that users choose. They become parts of keys, so braces and colons never pass."""

import re

QUEUE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
