"""The names of a setting's variables in an environment."""

from collections.abc import Mapping, MutableMapping

#: Each setting has a variable with this prefix, which counts before the one without it: that may be another program's.
PREFIX = "GOPHER_"


def names_of(name: str) -> tuple[str, ...]:
    """Return the variables of a setting; the first one that is set counts."""
    # Those of OpenTelemetry are the same for all programs.
    return (name,) if name.startswith((PREFIX, "OTEL_")) else (PREFIX + name, name)


def given(environ: Mapping[str, str], name: str) -> str:
    """Return what the environment says about a setting, "" if nothing."""
    return next((text for each in names_of(name) if (text := environ.get(each, "").strip())), "")


def override(environ: MutableMapping[str, str], name: str, text: str) -> None:
    """Set a setting in an environment, whatever that says about it."""
    for each in names_of(name):
        environ.pop(each, None)
    environ[name] = text
