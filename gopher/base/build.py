"""Which build of Gopher this is: two builds of one version, such as two commits, have different fingerprints."""

import hashlib
import os
from functools import cache

_DIGITS = 7


@cache
def fingerprint() -> str:
    """Return a digest of Gopher's source files. It takes some milliseconds, once per process."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    digest = hashlib.sha256()
    # In an editable install some packages are links. Paths are texts: objects took most of the time.
    for folder, folders, names in os.walk(package, followlinks=True):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".lua")):
                path = os.path.join(folder, name)
                digest.update(path[len(package) + 1 :].encode())
                with open(path, "rb", buffering=0) as file:
                    digest.update(file.read())
    return digest.hexdigest()[:_DIGITS]
