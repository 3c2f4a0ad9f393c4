"""The package of shipped handlers as a whole."""

import subprocess
import sys
from typing import Any

import pytest

from gopher.jobs.handlers import registry

SHIPPED = ["cleanup", "email", "image_resize", "math", "report"]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_registers_the_five_when_it_is_imported() -> None:
    code = "import gopher.handlers; from gopher.registry import registry; print([h.name for h in registry])"
    assert python(code).strip() == str(SHIPPED)


def test_stays_lean_until_a_job_needs_more() -> None:
    """The API imports the package to check payloads; it must not pay for Pillow in each of its processes."""
    heavy = {"PIL", "httpcore", "smtplib", "redis", "ssl", "email.message"}
    code = f"import sys, gopher.handlers; print(sorted({heavy} & set(sys.modules)))"
    assert python(code).strip() == "[]"


def test_preloads_for_children_to_share_without_starting_a_thread() -> None:
    code = (
        "import sys, threading, gopher.handlers; gopher.handlers.preload()\n"
        "print({'PIL.Image', 'httpcore', 'smtplib'} <= set(sys.modules), threading.active_count())"
    )
    assert python(code).strip() == "True 1"


@pytest.mark.parametrize("name", SHIPPED)
def test_describes_itself(name: str) -> None:
    handler = registry.require(name)
    assert 20 < len(handler.description) < 120
    schema = handler.payload_schema()
    (definition,) = [each for each in schema["$defs"].values() if each["title"] == handler.payload_type.__name__]
    assert definition["additionalProperties"] is False
    assert definition["description"]


@pytest.mark.parametrize("name", SHIPPED)
def test_refuses_a_field_that_it_does_not_know(name: str, run: Any) -> None:
    with pytest.raises(Exception, match="/payload/surprise|is required"):
        run(name, {"surprise": 1})
