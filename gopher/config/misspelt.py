"""Variables of the environment that look like misspelt settings: those are ignored, and the defaults apply."""

from collections.abc import Iterator, Mapping

from gopher.base.near import did_you_mean

from .environment import PREFIX
from .settings import Settings

#: How much a name has to be like that of a setting: others of the same program may begin in the same way.
_ALIKE = 0.88
#: First words of variables that are also those of other programs' settings, of which there are many.
_SHARED = frozenset({"OTEL"})
#: In what Kubernetes calls the address of a service, such as one named `gopher`: its host and its ports.
_SERVICE = "_SERVICE_"


def misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning about each variable that seems to be meant for a setting."""
    known = Settings.names()
    known |= {f"{name}_FILE" for name in known}
    starts = {PREFIX.rstrip("_"), *(name.partition("_")[0] for name in known)} - _SHARED
    for name in sorted(environ):
        if name in known or name.partition("_")[0] not in starts or _SERVICE in name:
            continue
        if suggestion := did_you_mean(name, known, alike=_ALIKE):
            yield f"{name} is no setting, and ignored: {suggestion}"
