"""The variables of the environment: a field of Settings has one each, and this reads them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, dataclass_transform

from gopher.base.address import masked

from .environment import PREFIX, names_of
from .kinds import Kind

T = TypeVar("T")

#: The setting that the others of the server belong to.
_URL = "REDIS_URL"


class Variable(NamedTuple):
    """A row of the table of variables."""

    name: str
    kind: Kind[Any]
    #: As in the environment; empty means none.
    default: str
    meaning: str


def setting(name: str, kind: Kind[T], default: str, meaning: str) -> T:
    """Declare a field; typed like `dataclasses.field`."""
    variable = Variable(name, kind, default, meaning)
    made: Any = field(metadata={"variable": variable})
    return made  # type: ignore[no-any-return]


@dataclass_transform(frozen_default=True, field_specifiers=(setting,))
def group(cls: type[T]) -> type[T]:
    """Make a class of settings a dataclass.

    `Settings` has the methods of a frozen one itself: to write and compile them for a hundred fields takes as much time
    as to import all that a client needs for them.
    """
    return dataclass(init=False, repr=False, eq=False)(cls)


class Given:
    """What the environment says: the text of each setting by its variable without prefix, and which was read."""

    def __init__(self, variables: Iterable[Variable], environ: Mapping[str, str]) -> None:
        self.texts: dict[str, str] = {}
        #: The variable that was read.
        self.sources: dict[str, str] = {}
        self._variables = list(variables)
        for variable in self._variables:
            for name in (variable.name, f"{variable.name}_FILE") if variable.kind.secret else (variable.name,):
                for each in names_of(name):
                    if text := environ.get(each, "").strip():
                        self._take(name, each, text)
                        break
        self._apply_port(environ)
        self._apply_platform(environ)
        if self.sources.get(_URL) == PREFIX + _URL:
            self.forget_unprefixed("REDIS_")

    def _take(self, name: str, source: str, text: str) -> None:
        self.texts[name], self.sources[name] = text, source

    def _apply_port(self, environ: Mapping[str, str]) -> None:
        """PORT replaces SERVER_PORT, and a platform that sets it expects the API to listen on all addresses."""
        source = next((each for each in names_of("PORT") if environ.get(each, "").strip()), None)
        if source is None or self.is_prefixed("SERVER_PORT"):
            return
        self._take("SERVER_PORT", source, environ[source].strip())
        self.texts.setdefault("SERVER_HOST", "0.0.0.0")  # noqa: S104

    def _apply_platform(self, environ: Mapping[str, str]) -> None:
        """DYNO is set by Heroku, which kills a dyno 30 s after SIGTERM: jobs are stopped ten seconds earlier."""
        if environ.get("DYNO"):
            self.texts.setdefault("WORKER_SHUTDOWN_TIMEOUT", "20s")

    def is_prefixed(self, name: str) -> bool:
        return self.sources.get(name, name) != name

    def forget(self, *names: str) -> None:
        for name in names:
            for each in (name, f"{name}_FILE"):
                self.texts.pop(each, None)
                self.sources.pop(each, None)

    def forget_unprefixed(self, start: str) -> None:
        """Forget variables that begin like this: they are about another server."""
        self.forget(*[name for name, source in self.sources.items() if source == name and name.startswith(start)])

    def named(self, text: str) -> str:
        """Return a message about settings with the names of the variables that were read."""
        return re.sub(r"\b[A-Z][A-Z_]+[A-Z]\b", lambda word: self.sources.get(word[0], word[0]), text)

    def read_files(self, problems: dict[str, str]) -> None:
        """Read secrets from files: REDIS_PASSWORD_FILE is the path of one with it, as of a mounted secret."""
        for name in [each.name for each in self._variables if each.kind.secret]:
            file = f"{name}_FILE"
            path = self.texts.get(file)
            if not path or (name in self.texts and self.is_prefixed(name) and not self.is_prefixed(file)):
                continue
            source = self.sources[file]
            if name in self.texts and self.is_prefixed(name) == self.is_prefixed(file):
                problems[name] = f"{source}={path!r}: expected either this or {self.sources[name]}, not both"
                continue
            try:
                self._take(name, source, Path(path).read_text().strip())
                # As an empty variable it would be the same as no secret: of API keys, an API that is open.
                if not self.texts[name]:
                    problems[name] = f"{source}={path!r}: expected a file that is not empty"
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                problems[name] = f"{source}={path!r}: expected a file that can be read: {reason}"

    def read_fields(self, cls: Any, problems: dict[str, str]) -> Iterator[tuple[str, Any]]:
        """Yield (field, value) of each variable that is set; add an entry to `problems` for each invalid one."""
        for each in fields(cls):
            variable: Variable = each.metadata["variable"]
            text = self.texts.get(variable.name)
            if not text:
                continue
            try:
                yield each.name, variable.kind.read(text)
            except (ValueError, RecursionError) as error:  # the latter of deep JSON
                name = self.sources.get(variable.name, variable.name)
                problems[variable.name] = _problem(name, text, variable.kind, str(error))


def _problem(name: str, text: str, kind: Kind[Any], reason: str) -> str:
    # Our own messages start with "expected"; others (of int, urlsplit) are less specific and may repeat a password.
    expected = reason if reason.startswith("expected ") and "\n" not in reason else f"expected {kind.expected}"
    shown = "(not shown)" if kind.secret else repr(masked(text))
    return f"{name}={shown}: {expected}"


def shown(kind: Kind[Any], value: object) -> str:
    if kind.secret and isinstance(value, str):
        return "'***'"
    return repr(masked(value)) if isinstance(value, str) else repr(value)
