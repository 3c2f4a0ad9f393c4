"""The files around the code name the variables, commands and defaults that the code has."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import yaml
from gopher.app import create_app

from gopher.config.settings import Settings
from gopher.server.embedded import find_server
from tests.helpers import wait_until

DEFAULTS = {variable.name: variable.default for variable in Settings.variables()}
#: Read by nobody but the libraries that own them.
FOREIGN = {"PATH", "PYTHONUNBUFFERED"}


def example(root: Path) -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", (root / "configs/config.example.env").read_text(), re.MULTILINE))


def test_the_example_lists_every_variable_with_its_default(root):
    assert example(root) == {**DEFAULTS, "PORT": ""}


def test_the_example_explains_every_variable(root):
    lines = (root / "configs/config.example.env").read_text().splitlines()
    for above, line in pairwise(lines):
        if re.match(r"#[A-Z_]+=", line):
            assert above.startswith("# "), line


def test_the_example_is_accepted_as_it_stands(root):
    assert Settings.from_env(example(root)) == Settings.from_env({})


def test_a_platform_starts_one_process_of_each_kind(root):
    lines = (root / "Procfile").read_text().splitlines()
    assert lines == ["web: gopherctl web", "worker: gopherctl worker", "scheduler: gopherctl scheduler"]


def test_a_platforms_first_deploy_has_settings_that_can_be_used(root):
    app = json.loads((root / "app.json").read_text())
    assert set(app["env"]) <= set(DEFAULTS)
    given = {name: entry.get("value", "0123456789abcdef") for name, entry in app["env"].items()}
    settings = Settings.from_env({**given, "PORT": "5000", "REDIS_URL": "rediss://:pw@h:1"})
    settings.check_listener()
    assert settings.worker_shutdown_timeout + settings.worker_kill_grace < 30
    assert set(app["formation"]) == {"web", "worker", "scheduler"}


def test_the_compose_file_sets_variables_that_exist(root):
    text = (root / "docker-compose.yml").read_text()
    names = set(re.findall(r"^    ([A-Z][A-Z_]+):", text, re.MULTILINE))
    assert names
    assert names <= set(DEFAULTS)


def composed(root: Path) -> dict[str, Any]:
    """Return docker-compose.yml as it is without any variable in the shell around it."""
    text = (root / "docker-compose.yml").read_text()
    return yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))


def test_the_compose_file_is_closed_to_other_machines_and_to_pages_of_other_hosts(root):
    web = composed(root)["services"]["web"]
    image = dict(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=(\S+)", (root / "Dockerfile").read_text(), re.MULTILINE))
    settings = Settings.from_env({**image, **{name: text or "" for name, text in web["environment"].items()}})
    # It starts as it stands, listening on the container's network.
    settings.check_listener()
    assert settings.listens_beyond_loopback
    assert not settings.api_keys
    assert all(port.startswith("127.0.0.1:") for port in web["ports"])
    api = create_app(settings).test_client()
    assert api.get("/health/live", headers={"Host": "localhost:8080"}).status_code == 200
    for host in ("evil.example:8080", "localhost.evil.example"):
        answer = api.delete("/api/v1/dlq", headers={"Host": host, "Origin": f"http://{host}"})
        assert answer.status_code == 403
    assert not any("ports" in service for name, service in composed(root)["services"].items() if name != "web")


def configured(program: list[str], place: Path, pattern: str) -> dict[str, str]:
    """Start a server program that listens on a socket; return some of its settings, and end it."""
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(place.exists)
            with redis.Redis(unix_socket_path=str(place), decode_responses=True) as client:
                return client.config_get(pattern)
        finally:
            process.terminate()


def test_the_server_of_the_compose_file_starts_with_a_bound_on_its_memory_and_evicts_nothing(root):
    command = [str(word) for word in composed(root)["services"]["valkey"]["command"]]
    assert "${" not in " ".join(command)
    # Not pytest's own folder: its path may be too long for a socket.
    with TemporaryDirectory() as folder:
        place = Path(folder, "socket")
        program = [str(find_server()), *command[1:], "--port", "0", "--unixsocket", str(place), "--dir", folder]
        found = configured(program, place, "maxmemory*")
    assert int(found["maxmemory"]) >= 2**28
    assert found["maxmemory-policy"] == "noeviction"


def test_the_image_sets_variables_that_exist(root):
    text = (root / "Dockerfile").read_text().rpartition("FROM ")[2]
    names = set(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=", text, re.MULTILINE))
    assert names - FOREIGN
    assert names - FOREIGN <= set(DEFAULTS)
