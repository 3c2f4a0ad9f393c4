"""The compose file with three servers and three sentinels, run with real programs on this machine."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.exceptions import RedisError

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ServerError
from gopher.server.embedded import find_server
from tests.helpers import free_ports, wait_until
from tests.starting import start_process
from tests.topologies.sentinel import client_of
from tests.topologies.stack import TIMEOUT

pytestmark = pytest.mark.quiet

PASSWORD = "f" * 64


def read(root: Path) -> dict[str, Any]:
    """Return the compose file with its settings for one machine on top, as compose merges them."""
    base, trio = (yaml.safe_load((root / name).read_text()) for name in (
        "docker-compose.yml", "deploy/docker-compose.sentinel.yml",
    ))  # fmt: skip
    services: dict[str, Any] = dict(base["services"])
    for name, added in trio["services"].items():
        known = services.get(name, {})
        environment = {**known.get("environment", {}), **added.get("environment", {})}
        services[name] = {**known, **added, "environment": environment}
    return services


@pytest.fixture(scope="module")
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(Path(request.config.rootpath))


def test_volumes_and_names_fit_each_other(services: dict[str, Any], request: pytest.FixtureRequest) -> None:
    root = Path(request.config.rootpath)
    names = {name for name in services if name.startswith(("valkey", "sentinel"))}
    assert len(names) == 6
    data = set()
    for name in names:
        assert services[name]["environment"]["SERVER_NAME"] == name
        volumes = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in services[name]["volumes"])
        data.add(volumes["/data"])
        assert all((root / path).is_file() for path in volumes.values() if path.startswith("./"))
    assert len(data) == 6
    for name in ("web", "worker", "scheduler"):
        url = services[name]["environment"]["REDIS_URL"]
        assert set(re.findall(r"sentinel-\d", url)) == {name for name in names if name.startswith("sentinel")}
        assert Settings.from_env({"REDIS_URL": url}).server_address
        assert services[name]["environment"]["REDIS_PASSWORD_FILE"]


class Machine:
    """Runs the services' commands here: names are 127.0.0.1, with a port each."""

    def __init__(self, root: Path, folder: Path, services: dict[str, Any]) -> None:
        self._root, self._folder, self._services = root, folder, services
        names = sorted(name for name in services if name.startswith(("valkey", "sentinel")))
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "password").write_text(PASSWORD)
        (folder / "valkey.conf").write_text(f"requirepass {PASSWORD}\n")

    def start(self, name: str) -> None:
        place = self._folder / name
        place.mkdir(exist_ok=True)
        shell, flags, script = self._services[name]["command"]
        text = script.replace("$$", "$").replace("/data", str(place)).replace("/run/gopher", str(self._folder))
        text = text.replace("/etc/gopher/", f"{self._root}/deploy/sentinel/").replace("replicaof valkey 6379", self._of)
        # The image's port, and the folder in which it starts.
        text, start = text.replace("exec valkey-server", "echo").rstrip().rsplit("\n", 1)
        environ = {"PATH": os.environ["PATH"], "SERVER_NAME": "valkey" if name == "valkey" else "127.0.0.1"}
        subprocess.run([shell, flags, text], check=True, env=environ)
        (file,) = place.glob("*.conf")
        told = file.read_text().replace("announce-ip valkey", "announce-ip 127.0.0.1")
        told = told.replace("monitor gopher valkey 6379", f"monitor gopher 127.0.0.1 {self.ports['valkey']}")
        if f"port {self.ports[name]}" not in told:
            told = f"port {self.ports[name]}\nbind 127.0.0.1\ndir {place}\n{told}"
        file.write_text(told)
        words = [str(find_server()), str(file), *start.split()[2:]]
        self.processes[name] = start_process(words, place / "log")

    @property
    def _of(self) -> str:
        return f"replicaof 127.0.0.1 {self.ports['valkey']}"

    def is_watched(self) -> bool:
        """Return whether each sentinel knows the replicas and the other sentinels."""
        for name, port in self.ports.items():
            if name.startswith("sentinel"):
                try:
                    with client_of(port) as sentinel:
                        words = [word.decode() for word in sentinel.execute_command("SENTINEL", "MASTER", "gopher")]
                except (RedisError, OSError):
                    # It may not have started yet.
                    return False
                found = dict(zip(words[0::2], words[1::2], strict=True))
                if (found["num-slaves"], found["num-other-sentinels"]) != ("2", "2"):
                    return False
        return True

    def client(self) -> Client:
        sentinels = ",".join(f"127.0.0.1:{port}" for name, port in self.ports.items() if name.startswith("sentinel"))
        environ = {"REDIS_URL": f"redis+sentinel://{sentinels}/gopher/0"}
        environ["REDIS_TIMEOUT"] = f"{TIMEOUT}s"
        environ["REDIS_PASSWORD_FILE"] = str(self._folder / "password")
        return Client(settings=Settings.from_env(environ))


@contextmanager
def machine(root: Path, services: dict[str, Any]) -> Iterator[Machine]:
    # Not pytest's own folder: it may be too long.
    with tempfile.TemporaryDirectory(prefix="gopher-trio-") as folder, ExitStack() as stack:
        running = Machine(root, Path(folder), services)
        for name in sorted(running.ports, reverse=True):
            running.start(name)
            stack.callback(running.processes[name].wait)
            stack.callback(running.processes[name].kill)
        yield running


def takes(client: Client) -> bool:
    try:
        return bool(client.enqueue("email", {}))
    except ServerError:
        return False


def confirmed(client: Client) -> bool:
    """Return whether both replicas have what was written until now."""
    with client.server.client.client() as connection:
        connection.set("confirmed", 1)
        return bool(connection.wait(2, 500) == 2)


def replicas(client: Client) -> int:
    try:
        return int(client.server.client.info("replication")["connected_slaves"])
    except (ServerError, RedisError):
        return 0


@pytest.mark.deep
def test_jobs_survive_the_loss_of_the_primary(services: dict[str, Any], request: pytest.FixtureRequest) -> None:
    with machine(Path(request.config.rootpath), services) as running, running.client() as client:
        wait_until(lambda: takes(client), 120, "the trio to take jobs")
        # The sentinels have to know each other and the replicas.
        wait_until(running.is_watched, 120, "the sentinels to know all")
        jobs = client.stats().total_enqueued
        wait_until(lambda: confirmed(client), 60, "both replicas to have all")
        running.processes["valkey"].kill()
        # Sentinels that got no processor for 2 s do nothing for 30 s.
        wait_until(lambda: takes(client), 240, "a replica to take its place")
        assert client.stats().total_enqueued >= jobs
        assert client.server.client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        # The old primary comes back as a replica.
        running.processes["valkey"].wait()
        running.start("valkey")
        wait_until(lambda: replicas(client) == 2, 240, "it to be back")
        running.processes["valkey"].kill()
        running.processes["valkey"].wait()
