"""The files around the code name the variables, commands and defaults that the code has."""

import json
import re
from itertools import pairwise
from pathlib import Path

from gopher.settings import Settings

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


def test_the_image_sets_variables_that_exist(root):
    text = (root / "Dockerfile").read_text().rpartition("FROM ")[2]
    names = set(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=", text, re.MULTILINE))
    assert names - FOREIGN
    assert names - FOREIGN <= set(DEFAULTS)
