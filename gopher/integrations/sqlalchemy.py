"""SQLAlchemy in handlers: an engine for each child, a session for each attempt. See docs/frameworks.md."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import scoped_session

from gopher.errors import ConfigurationError
from gopher.hooks.middleware import Middleware, Outcome
from gopher.jobs.job import Job


class EngineMiddleware(Middleware):
    """Gives each child connections of its own: a connection that is shared by a fork mixes up the answers of both."""

    def __init__(self, *engines: Any) -> None:
        for engine in engines:
            if _engine_of(engine) is None:
                raise ConfigurationError(f"{type(self).__name__}({engine!r:.60}): expected an Engine or an AsyncEngine")
        self._engines = engines

    def preload(self) -> None:
        """Close what imports have opened, properly, as long as no one shares it."""
        for engine in self._all():
            engine.dispose(close=not engine.dialect.is_async)

    def on_child_start(self) -> None:
        """Drop what was opened since then, without closing it: the connection is the parent's."""
        for engine in self._all():
            engine.dispose(close=False)

    def _all(self) -> Iterator[Engine]:
        for each in self._engines:
            if (engine := _engine_of(each)) is not None:
                yield engine


class SessionMiddleware(EngineMiddleware):
    """A session for each attempt: committed when the handler returns, rolled back when it fails, then removed.

    A commit that fails is a failed attempt, which is retried. With `commit=False` handlers commit themselves, and what
    they have not committed is rolled back. The engines are those of the session's binds, or the given ones.
    """

    def __init__(self, session: "scoped_session[Any]", *, commit: bool = True, engines: Sequence[Any] = ()) -> None:
        if not isinstance(session, scoped_session):
            raise ConfigurationError(
                f"SessionMiddleware({session!r:.60}): expected a scoped_session, such as "
                "scoped_session(sessionmaker(engine))"
            )
        super().__init__(*engines)
        self._session = session
        self._commit = commit

    def before(self, job: Job) -> None:
        # Whatever an import, or a thread of this name, has left in it.
        self._session.remove()

    def on_success(self, job: Job, result: Any) -> None:
        if self._commit:
            self._session.commit()

    def after(self, job: Job, outcome: Outcome) -> None:
        # Closing it rolls back, and gives its connection back to the pool.
        self._session.remove()

    def _all(self) -> Iterator[Engine]:
        yield from super()._all()
        if not self._engines:
            yield from _bound(self._session)


def _bound(session: "scoped_session[Any]") -> Iterator[Engine]:
    """Yield the engines that a session factory is bound to."""
    options = getattr(session.session_factory, "kw", {})
    for each in (options.get("bind"), *(options.get("binds") or {}).values()):
        if (engine := _engine_of(each)) is not None:
            yield engine


def _engine_of(bind: Any) -> Engine | None:
    """Return the engine of a connection, of an AsyncEngine, or itself."""
    bind = getattr(bind, "sync_engine", bind)
    engine = getattr(bind, "engine", None)
    return engine if isinstance(engine, Engine) else None
