"""Opens the store that `GOPHER_STORE` names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from gopher.base.installed import require
from gopher.config.settings import Settings

from .folder import MARK, FolderStore
from .store import Store

if TYPE_CHECKING:
    from gopher.queue.store import Server


def open_store(settings: Settings, server: "Server | None" = None) -> Store:
    """Return the store of the settings.

    `redis:` uses `server` if given, else a connection of its own, which `close` closes. Raises ConfigurationError if a
    library is missing.
    """
    scheme = settings.store.partition(":")[0]
    if scheme == "file":
        return FolderStore(settings.files)
    if scheme == "redis":
        from .pieces import PiecesStore

        return PiecesStore(settings, server)
    from .bucket import BucketStore

    return BucketStore(settings.store)


@contextmanager
def store_for_job(settings: Settings) -> Iterator[Store]:
    """Yield the store for a job in a child process.

    A child keeps that of a bucket for its next jobs: credentials, which may come from a service, and connections.
    Connections to the server are few on small plans, so those of redis: are closed.
    """
    is_local = settings.store.partition(":")[0] in ("file", "redis")
    store = open_store(settings) if is_local else _kept(settings.store, os.getpid())
    try:
        yield store
    finally:
        if is_local:
            store.close()


@lru_cache(maxsize=1)
def _kept(url: str, _pid: int) -> Store:
    from .bucket import BucketStore

    return BucketStore(url)


def check_store(settings: Settings) -> None:
    """Raise ConfigurationError if the store can't be opened here. No request is made, and no library is loaded."""
    if settings.store.partition(":")[0] in ("file", "redis"):
        return
    from .bucket import Address

    Address.parse(settings.store)
    require("s3", "GOPHER_STORE")


def identity(settings: Settings) -> str:
    """Return an id that is the same for processes that see the same store, "" for a folder that was never used.

    That of a bucket or a server is its name, so no request is made.
    """
    if settings.store != "file:":
        return settings.store
    with suppress(OSError, UnicodeError):
        return f"file: {(settings.files / MARK).read_text('ascii')[:32]}"
    return ""
