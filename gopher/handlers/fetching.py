"""Fetching untrusted URLs, for handlers: the names of `gopher.outbound.fetching`."""

from gopher.outbound.fetching import Download, FetchFailed, fetch, put
from gopher.outbound.guard import FetchRefused

__all__ = ["Download", "FetchFailed", "FetchRefused", "fetch", "put"]
