"""The documents hang together: every link inside the project leads somewhere, and the README says how to begin."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return what can be linked to in a page, as GitHub names it."""
    heads = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(_FENCED.sub("", page.read_text())):
        place = page.parent / target if target else page
        assert place.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(place), f"{page.name} links to {target}#{anchor}"


def test_the_readme_links_to_the_index_of_all_pages() -> None:
    assert "docs/README.md" in {target for target, _ in _LINK.findall((ROOT / "README.md").read_text())}


def test_the_readme_names_the_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"`make {target}`" in text for target in ("demo", "test", "run"))
