"""Where the API is for its clients: below GOPHER_BASE_PATH, or below the prefix that a trusted proxy has removed.

The prefix moves from the path of a request to its SCRIPT_NAME. So routes are the same everywhere, Flask's `url_for` and
redirects have it, and `own_url` returns it for all other addresses.
"""

from collections.abc import Callable
from typing import Any

from gopher.config.kinds import path_prefix

from .context import current_request

Environ = dict[str, Any]

_HEADER = "HTTP_X_FORWARDED_PREFIX"


def own_url(path: str) -> str:
    """Return the URL of a path of this application, for a client that resolves it against its request's host."""
    root: str = current_request().environ.get("SCRIPT_NAME", "")
    return root + path


def below(base: str, trusted_proxies: int) -> Callable[[Environ], None]:
    """Return what moves the prefix of a request's path into its SCRIPT_NAME.

    Requests without the base path are served too: those of probes, and of proxies that remove it. Only the base path is
    removed here, never a prefix from a header: a proxy that forwards the header of a client would let it choose a path.
    """

    def change(environ: Environ) -> None:
        removed = _removed(environ.get(_HEADER, ""), trusted_proxies) if trusted_proxies else ""
        # An application that this one is mounted in has put its part there.
        root: str = removed + environ.get("SCRIPT_NAME", "")
        path: str = environ["PATH_INFO"]
        if base and (path == base or path.startswith(f"{base}/")):
            environ["PATH_INFO"] = path[len(base) :]
            # A proxy may also send the header with what it has passed on.
            root = root if root.endswith(base) else root + base
        environ["SCRIPT_NAME"] = root or base

    return change


def _removed(header: str, trusted_proxies: int) -> str:
    """Return what the trusted proxies have removed from the path, each the beginning of what it got."""
    try:
        return "".join(path_prefix(each.strip()) for each in header.split(",")[-trusted_proxies:] if each.strip())
    except ValueError:
        return ""
