"""The files around the code name the variables, commands and defaults that the code has."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
import yaml
from gopher.app import create_app

from gopher.config.settings import Settings
from gopher.server.embedded import find_server
from tests.helpers import wait_until

DEFAULTS = {variable.name: variable.default for variable in Settings.variables()}
#: Read by nobody but the libraries that own them.
FOREIGN = {"HOME", "PATH", "PYTHONUNBUFFERED"}


def example(root: Path) -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", (root / "configs/config.example.env").read_text(), re.MULTILINE))


def test_the_example_lists_every_variable_with_its_default(root):
    assert example(root) == {**DEFAULTS, "PORT": ""}


def test_the_example_explains_every_variable(root):
    lines = (root / "configs/config.example.env").read_text().splitlines()
    for above, line in pairwise(lines):
        if re.match(r"#[A-Z_]+=", line):
            assert above.startswith("# "), line


def test_the_example_is_accepted_as_it_is(root):
    assert Settings.from_env(example(root)) == Settings.from_env({})


def test_a_platform_starts_one_process_of_each_kind(root):
    lines = (root / "Procfile").read_text().splitlines()
    assert lines == ["web: gopherctl web", "worker: gopherctl worker", "scheduler: gopherctl scheduler"]


def test_a_platforms_first_deploy_has_settings_that_can_be_used(root):
    app = json.loads((root / "app.json").read_text())
    assert set(app["env"]) <= set(DEFAULTS)
    given = {name: entry.get("value", "0123456789abcdef") for name, entry in app["env"].items()}
    settings = Settings.from_env({**given, "PORT": "5000", "DYNO": "web.1", "REDIS_URL": "rediss://:pw@h:1"})
    settings.check_listener()
    assert settings.worker_shutdown_timeout + settings.worker_kill_grace < 30
    assert set(app["formation"]) == {"web", "worker", "scheduler"}
    # Mini keeps nothing on disk.
    assert app["addons"] == ["heroku-redis:premium-0"]


def test_the_steps_for_a_platform_set_what_its_first_deploy_would(root):
    app = json.loads((root / "app.json").read_text())
    steps = (root / "docs/deployment.md").read_text().partition("heroku create")[2].partition("```")[0]
    assert set(re.findall(r"\b([A-Z_]{6,})=", steps)) == set(app["env"])
    assert app["addons"] == re.findall(r"addons:create (\S+)", steps)
    assert re.findall(r"(\w+)=1", steps.partition("ps:scale")[2]) == list(app["formation"])


def test_the_compose_file_sets_variables_that_exist(root):
    text = (root / "docker-compose.yml").read_text()
    names = set(re.findall(r"^    ([A-Z][A-Z_]+):", text, re.MULTILINE))
    assert names
    assert {name.removesuffix("_FILE") for name in names} <= set(DEFAULTS)


def composed(root: Path) -> dict[str, Any]:
    """Return docker-compose.yml as it is without any variable in the shell around it."""
    text = (root / "docker-compose.yml").read_text()
    return yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))


def test_the_compose_file_is_closed_to_other_machines_and_to_pages_of_other_hosts(root):
    web = composed(root)["services"]["web"]
    image = dict(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=(\S+)", (root / "Dockerfile").read_text(), re.MULTILINE))
    given = {name: text or "" for name, text in web["environment"].items() if not name.endswith("_FILE")}
    settings = Settings.from_env({**image, **given})
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


def _listens(place: Path) -> bool:
    # The file is there before anybody listens.
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place)) == 0


@contextmanager
def server_of(root: Path, folder: Path) -> Iterator[Callable[[str | None], redis.Redis]]:
    """Run the server of the compose file, with what it needs in `folder`; yield what connects with a password."""
    services = composed(root)["services"]

    def here(word: Any) -> str:
        return str(word).replace("/run/gopher", str(folder)).replace("$$", "$")

    make_password = [here(word) for word in services["password"]["command"]]
    environ = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(make_password, check=True, env=environ)
    made = (folder / "password").read_text()
    # Once: the server keeps it.
    subprocess.run(make_password, check=True, env=environ)
    assert (folder / "password").read_text() == made
    command = [here(word) for word in services["valkey"]["command"]]
    assert "${" not in " ".join(command)
    place = folder / "socket"
    program = [str(find_server()), *command[1:], "--port", "0", "--unixsocket", str(place), "--dir", str(folder)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _listens(place))
            yield lambda password: redis.Redis(unix_socket_path=str(place), password=password, decode_responses=True)
        finally:
            process.terminate()


def test_the_server_of_the_compose_file_has_a_password_and_a_bound_on_its_memory_and_evicts_nothing(root):
    # Not pytest's own folder: its path may be too long for a socket.
    with TemporaryDirectory() as name, server_of(root, Path(name)) as connect:
        folder = Path(name)
        settings = Settings.from_env({"REDIS_PASSWORD_FILE": str(folder / "password")})
        password = settings.server_address.password
        assert password is not None
        assert len(password) == 64
        for other in (None, "wrong"):
            with pytest.raises(redis.AuthenticationError), connect(other) as client:
                client.ping()
        with connect(password) as client:
            found = client.config_get("maxmemory*")
    assert int(found["maxmemory"]) >= 2**28
    assert found["maxmemory-policy"] == "noeviction"


def test_no_container_of_the_compose_file_can_write_its_image_or_gain_privileges(root):
    services = composed(root)["services"]
    assert len(services) == 5
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # What a process writes is in a volume or in memory.
        places = [*service["tmpfs"], *(each.split(":")[1] for each in service["volumes"] if not each.endswith(":ro"))]
        words = [str(word) for word in service["command"]]
        if "--health-file" in words:
            assert words[words.index("--health-file") + 1].rpartition("/")[0] in places, name


def test_only_the_api_of_the_compose_file_has_its_keys(root):
    services = composed(root)["services"]
    assert [name for name, each in services.items() if "GOPHER_API_KEYS" in each.get("environment", {})] == ["web"]


def test_the_image_sets_variables_that_exist(root):
    text = (root / "Dockerfile").read_text().rpartition("FROM ")[2]
    names = set(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=", text, re.MULTILINE))
    assert names - FOREIGN
    assert names - FOREIGN <= set(DEFAULTS)


def documented_configurations(root: Path) -> list[str]:
    """Return the configurations of servers and sentinels in docs/backups.md, complete."""
    page = (root / "docs/backups.md").read_text()
    shared = (root / "deploy/sentinel/valkey.conf").read_text()
    found = re.findall(r"^```\n(# (?:valkey|sentinel)\.conf.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [shared + text if text.startswith("# valkey") else text for text in found]


def test_servers_and_sentinels_start_with_the_configurations_of_the_documents(root, tmp_path):
    configurations = documented_configurations(root)
    assert len(configurations) == 3
    for number, text in enumerate(configurations):
        folder = tmp_path / str(number)
        folder.mkdir()
        local = re.sub(r"\b(?:db\d|0\.0\.0\.0)\b", "127.0.0.1", text)
        (folder / "conf").write_text(f"{local}\nport 0\ndir {folder}\nunixsocket {folder}/socket\n")
        program = [str(find_server()), str(folder / "conf"), *(["--sentinel"] if "monitor" in text else [])]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            try:
                wait_until(lambda folder=folder: (folder / "socket").exists(), what=str(number))
            finally:
                process.terminate()
