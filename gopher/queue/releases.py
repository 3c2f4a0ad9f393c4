"""Which releases work together on a server, and which ones run there.

The *protocol* is what processes agree on: keys, the fields of records, which scripts may meet. Its number is raised by
each release that changes any of it; each release works beside that of the release before. `<ns>:meta` has two numbers:

* `protocol`: the newest protocol that any process has used. A process with a newer one raises it when it starts.
* `schema`: the oldest one that may still be used. A process with an older protocol does not start. (It is called so
  because the releases of protocol 1, which do not know the other field, compare it with the version of their data, 1.)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gopher import __version__
from gopher.base.build import fingerprint
from gopher.base.salvage import text
from gopher.errors import ConfigurationError
from gopher.server.calls import Call, Command
from gopher.telemetry.loggers import get_logger

from .keys import Keys
from .scripts import script

#: The protocol of this release, and the oldest one beside which it works: that of the release before.
PROTOCOL, OLDEST_PROTOCOL = 2, 1
#: Seconds for which a process is known to run after it has said so, and how often it says so.
SHOWN_FOR, SHOWN_EVERY = 180.0, 60.0

log = get_logger("start")


class Release(NamedTuple):
    """What a process runs. The build of an earlier release is unknown, of a scheduler even its version."""

    version: str = ""
    build: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.version, f"build {self.build}" if self.build else "of an earlier release"]))


def this_release() -> Release:
    return Release(__version__, fingerprint())


def agree(keys: Keys) -> Call:
    """Return the call that checks whether this process may use the data; reading its reply raises
    ConfigurationError."""
    return Call(script("api/agree_on_protocol"), keys.meta, (str(PROTOCOL), str(OLDEST_PROTOCOL)), _read_agreement)


def _read_agreement(reply: Sequence[bytes | int]) -> None:
    answer, newest = reply[0], int(reply[1])
    if answer == b"TOO OLD":
        raise ConfigurationError(
            f"the data on the server is in use by a release with protocol {newest}, which works with protocols from "
            f"{int(reply[2])} on, but this is Gopher {__version__} with protocol {PROTOCOL}: update Gopher, or use "
            "another GOPHER_NAMESPACE"
        )
    if 0 < newest < PROTOCOL:
        log.info("the protocol of the data was raised", before=newest, now=PROTOCOL)


def marks(keys: Keys) -> list[Command]:
    """Return the commands that note the protocols on an emptied server."""
    named = (("protocol", PROTOCOL), ("schema", OLDEST_PROTOCOL))
    return [Command(keys.meta, ("HSETNX", keys.meta, name, str(number))) for name, number in named]


def show_release(keys: Keys, part: str, now: float) -> Command:
    """Return the command which notes that a part (API, scheduler) of this release runs; `now` is in Unix ms."""
    member = " ".join((part, *this_release()))
    return Command(keys.releases, ("ZADD", keys.releases, round(now + SHOWN_FOR * 1000), member))


def shown_releases(server: Any, keys: Keys, now: int) -> list[tuple[str, Release]]:
    """Return the parts that ran within the last minutes, each with a release."""
    server.zremrangebyscore(keys.releases, "-inf", now)
    rows = [text(member).split(" ") for member in server.zrange(keys.releases, 0, -1)]
    return [(row[0], Release(*row[1:])) for row in rows if len(row) == 1 + len(Release._fields)]
