"""A sentinel: a process of the same program as the servers that it watches."""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gopher.server.embedded import find_server
from tests.starting import start_process

MASTER = "mymaster"
#: Milliseconds until it takes a silent master for dead: where one is killed or frozen, and at all other times, when one
#: that is silent only waits for a processor.
DOWN_AFTER, PATIENT_AFTER = 2000, 20_000
#: Milliseconds for which it does nothing (`tilt`) after it got no processor, or waited for a disk, for 2 s.
TILT = 2000
#: It writes what it learns to disk at once, also before it votes, and so would wait for all that others write.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Sentinel:
    """A sentinel that is running."""

    def __init__(self, port: int, master: int, program: Path | None = None) -> None:
        self.port = port
        self._is_frozen = False
        self._folder = Path(tempfile.mkdtemp(prefix="gopher-sentinel-", dir=_MEMORY))
        # It writes what it learns into its configuration.
        (self._folder / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {master} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {PATIENT_AFTER}\n"
            # The next failover may begin after twice this.
            f"sentinel failover-timeout {MASTER} 4000\n"
            f"sentinel parallel-syncs {MASTER} 2\n"
        )
        command = [program or find_server(), self._folder / "sentinel.conf", "--sentinel"]
        self._process = start_process(command, self._log)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def freeze(self) -> None:
        """Stop it where it is: it takes connections, and says nothing."""
        self._process.send_signal(signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._is_frozen = False

    def ask(self, *command: str | int) -> Any:
        """Return the reply to a command, and nothing when it does not answer."""
        if self._is_frozen:
            # It would keep whoever asks all of them.
            return None
        client = client_of(self.port)
        try:
            return client.execute_command(*command)
        except (RedisError, OSError):
            return None
        finally:
            client.close()

    def master(self) -> int | None:
        """Return the port of the master that it names; None when it does not answer."""
        reply = self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return int(reply[1]) if reply else None

    def state(self) -> dict[str, str]:
        """Return what it says of the master."""
        words = [word.decode() for word in self.ask("SENTINEL", "MASTER", MASTER) or ()]
        return dict(zip(words[0::2], words[1::2], strict=True))

    def knows_all(self) -> bool:
        """Return whether it knows both replicas and both other sentinels."""
        state = self.state()
        return (state.get("num-slaves"), state.get("num-other-sentinels")) == ("2", "2")

    def works(self) -> bool:
        """Return whether it answers, and is not in the mode in which it does nothing."""
        return (self.ask("INFO", "sentinel") or {}).get("sentinel_tilt") == 0

    def take_for_dead_after(self, milliseconds: int) -> None:
        """Have it take a master for dead that was silent for so long."""
        self.ask("SENTINEL", "SET", MASTER, "down-after-milliseconds", milliseconds)

    def rest_briefly(self) -> None:
        """Have it do nothing for `TILT` where it would for 30 s: from Redis 7.0 on."""
        self.ask("SENTINEL", "DEBUG", "TILT-PERIOD", TILT)

    def describe(self) -> str:
        """Return its state, and the last that it has logged."""
        state, lines = self.state(), self._log.read_text(errors="replace").splitlines()
        names = ("port", "flags", "config-epoch", "num-slaves", "num-other-sentinels")
        said = ", ".join(f"{name} {state.get(name)}" for name in names) if state else "no answer"
        return "\n".join([f"sentinel {self.port}: {said}; works: {self.works()}", *lines[-30:]])


def client_of(port: int, timeout: float = 15.0) -> "Redis":
    """Return a client that repeats nothing. It waits longer than a busy machine pauses."""
    return Redis(port=port, socket_timeout=timeout, retry=Retry(NoBackoff(), 0), protocol=2)
