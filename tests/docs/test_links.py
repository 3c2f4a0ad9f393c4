"""The documents: every link inside the project leads somewhere, and the README says how to begin."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_the_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"`make {target}`" in text or f"make {target} " in text for target in ("demo", "test", "run"))


def test_the_readmes_handler_registers() -> None:
    source = re.search(r"```python\n(# my_jobs.py.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert source
    from gopher.registry import registry

    exec(compile(source[1], "my_jobs.py", "exec"), {"__name__": "my_jobs"})
    handler = registry.require("thumbnail")
    assert handler.description == "Makes a thumbnail of a picture."
    assert handler.limit == (50, 50, None)
