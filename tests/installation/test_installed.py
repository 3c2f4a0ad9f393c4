"""What users install: the core in its lowest versions, and beside other libraries, each in its own environment."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.installation.environments import Environment, copied, lowest, run, wheel_of

pytestmark = pytest.mark.deep

#: What needs an extra -> the extra that the message names.
_WITHOUT_EXTRAS = {
    "gopherctl web": "web",
    "gopherctl up": "web",
    "python -m gopher.app": "web",
    "python -c 'from gopher.app import create_app; create_app()'": "web",
    "python -c 'import gopher.integrations.sentry'": "sentry",
    "PATH=/nowhere python -c 'from gopher.testing import EagerClient; EagerClient()'": "embedded",
    "GOPHER_STORE=s3://bucket gopherctl worker": "s3",
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 gopherctl worker": "tracing",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return wheel_of(copied(tmp_path_factory.mktemp("source")))


@pytest.fixture(scope="module")
def core(wheel, tmp_path_factory) -> Environment:
    """The core in its lowest versions, without any extra."""
    made = Environment(tmp_path_factory.mktemp("core"))
    made.pip("install", wheel, *lowest())
    return made


def environ(redis_url: str, **more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("GOPHER_", "PIP_", "PYTHON"))}
    return {**kept, "REDIS_URL": redis_url, **more}


def try_out(environment: Environment, redis_url: str, folder: Path) -> None:
    script = Path(__file__).with_name("trial.py")
    named = environ(redis_url, GOPHER_NAMESPACE=folder.name.replace("_", "-")[:60])
    run([environment.bin / "python", "-P", script], cwd=folder, env=named, timeout=600)


def test_the_core_runs_in_its_lowest_versions(core, redis_url, tmp_path):
    core.pip("check")
    try_out(core, redis_url, tmp_path)


def test_the_core_is_at_most_seventeen_distributions(core, wheel):
    report = json.loads(core.pip("install", "--dry-run", "--ignore-installed", "--report", "-", wheel))
    names = [each["metadata"]["name"] for each in report["install"]]
    assert "gopherctl" in names
    assert len(names) <= 17, names


def test_what_needs_an_extra_says_in_a_sentence_how_to_install_it(core, redis_url, tmp_path):
    for command, extra in _WITHOUT_EXTRAS.items():
        # Each program is that of the environment.
        words = [f"{core.bin}/{word}" if word in ("gopherctl", "python") else word for word in command.split(" ")]
        done = subprocess.run(
            ["sh", "-c", " ".join(words)],
            capture_output=True, text=True, cwd=tmp_path, env=environ(redis_url), timeout=120, check=False,
        )  # fmt: skip
        said = done.stderr.strip().splitlines()[-1]
        assert done.returncode, command
        assert f"pip install 'gopherctl[{extra}]'" in said, f"{command}: {done.stderr}"


def test_a_picture_without_pillow_fails_with_what_to_install(core, redis_url, tmp_path):
    program = tmp_path / "resize.py"
    program.write_text(
        "from gopher.errors import Discard\nfrom gopher.handlers.image import ImageResize, image_resize\n"
        "try:\n    image_resize(None, ImageResize(url='https://example.com/a.jpg', width=3))\n"
        "except Discard as error:\n    print(error)\n"
    )
    said = run([core.bin / "python", "-P", program], env=environ(redis_url), cwd=tmp_path)
    assert said.strip() == (
        "image_resize needs Pillow, which this worker does not have: pip install 'gopherctl[handlers]'"
    )


@pytest.mark.parametrize(
    "others",
    [("celery[redis]==5.4.*", "django==5.2.*", "click==8.1.*"), ("flask==2.3.*", "gunicorn==21.*", "redis==5.*")],
    ids=["Celery and Django", "Flask and gunicorn"],
)
def test_the_core_runs_beside_other_libraries(wheel, redis_url, tmp_path, others):
    made = Environment(tmp_path / "env")
    made.pip("install", wheel, *others)
    made.pip("check")
    folder = tmp_path / "trial"
    folder.mkdir()
    try_out(made, redis_url, folder)
