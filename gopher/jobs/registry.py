"""The handlers that are registered, by job type."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gopher.base.near import did_you_mean
from gopher.errors import ConfigurationError, UnknownType

if TYPE_CHECKING:
    from .declarations import Declaration
    from .declared import Mistake
    from .handlers import Handler


class Registry:
    """Handlers by job type."""

    #: Whether types and payloads of submissions are checked by it.
    checks = True

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        #: The modules that were loaded into it (see `loading`).
        self.modules: tuple[str, ...] = ()
        self._collected: list[Mistake] | None = None
        #: The declaration of each.
        self._declared: dict[str, Declaration] = {}
        self._admit: Callable[[Handler], None] = _admit_all

    def guarded(self, admit: "Callable[[Handler], None]") -> "Registry":
        """Return a copy whose `require` calls `admit`, which raises for types that may not be submitted."""
        guarded = Registry()
        guarded._handlers, guarded._declared, guarded._admit = self._handlers, self._declared, admit
        return guarded

    def add(self, handler: "Handler") -> None:
        """Register a handler. Raises ConfigurationError when its name, or that of a schedule, is taken."""
        # Programs that only submit jobs register none.
        from .declarations import declaration
        from .declared import Mistake

        declared = declaration(handler.function)
        before = self._declared.get(handler.name)
        if before is not None and not declared.replaces(before):
            message = f"job type {handler.name!r} has two handlers: {before} and {declared}. Rename one of them."
            self.refuse([Mistake(declared.file, declared.line, "", message)])
            return
        others = {each.name: other for other in self if other.name != handler.name for each in other.schedules}
        if twice := next((each for each in handler.schedules if each.name in others), None):
            message = f"schedule {twice.name!r} is also declared by {others[twice.name].name!r}. Rename one of them."
            self.refuse([Mistake(declared.file, declared.line, handler.name, message)])
            return
        self._handlers[handler.name] = handler
        self._declared[handler.name] = declared

    def refuse(self, mistakes: "list[Mistake]") -> None:
        """Raise ConfigurationError, or keep the mistakes for who collects them."""
        if self._collected is None:
            raise ConfigurationError("\n".join(map(str, mistakes)))
        self._collected += mistakes

    @contextmanager
    def collecting(self) -> "Iterator[list[Mistake]]":
        """Have the mistakes of all declarations that follow, instead of an error at the first one."""
        before, self._collected = self._collected, []
        try:
            yield self._collected
        finally:
            self._collected = before

    def get(self, name: str) -> "Handler | None":
        """Return the handler that runs jobs of a type, also of one that clients can't submit."""
        return self._handlers.get(name) or INTERNAL._handlers.get(name)

    def require(self, name: str) -> "Handler":
        """Return the handler of a job type. Raises UnknownType, listing the registered ones."""
        handler = self._handlers.get(name)
        if handler is None:
            raise unknown_type(name, self._handlers)
        self._admit(handler)
        return handler

    def __iter__(self) -> "Iterator[Handler]":
        return iter(sorted(self._handlers.values(), key=lambda handler: handler.name))

    def __len__(self) -> int:
        return len(self._handlers)


def unknown_type(name: str, known: Collection[str]) -> UnknownType:
    """Return the error for a job type that is not among the known ones."""
    listed = ", ".join(sorted(known)) or "none"
    near = did_you_mean(name, known)
    found = f": {near} Registered types: {listed}" if near else f"; registered types: {listed}"
    return UnknownType(f"no handler is registered for {name!r}{found}", "/type")


def _admit_all(_handler: "Handler") -> None:
    """Allow all types: clients of the server itself may submit any."""


#: Where `@handler` registers.
registry = Registry()
#: Handlers of Gopher's own jobs: every worker runs them, no list has them, and no client submits such jobs.
INTERNAL = Registry()
