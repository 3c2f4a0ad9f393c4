"""What was written twice and drifted apart has one home, and comes back nowhere else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_layers import PARTS

#: What gives a second copy away -> the one file that may have it.
HOMES = {
    r"x1f\\x7f|u202a": "gopher/base/printable.py",
    "PR_SET_PDEATHSIG": "gopher/base/parent_death.py",
    r"\b10[3-8]\b.*darwin|sun_path": "gopher/base/address.py",
    "(?i)no scheduler (is alive|is running|runs)": "gopher/reads/advice.py",
    r"& 0x3F \| 0x80": "gopher/jobs/job.py",
}


def sources(root: Path) -> Iterator[Path]:
    for folder in ("gopher", *PARTS):
        yield from sorted(path for path in (root / folder).rglob("*") if path.suffix in (".py", ".html", ".lua"))


@pytest.mark.parametrize(("pattern", "home"), HOMES.items())
def test_each_of_these_is_in_one_file(root, pattern, home):
    found = [path.relative_to(root).as_posix() for path in sources(root) if re.search(pattern, path.read_text())]
    assert found == [home]


def test_http_is_spoken_by_one_client_by_the_store_and_by_the_handler_that_guards_where_it_leads(root):
    libraries = re.compile(r"^\s*(import|from) (http\.client|urllib\.request|httpcore|httpx|requests)\b", re.MULTILINE)
    found = [path.relative_to(root).as_posix() for path in sources(root) if libraries.search(path.read_text())]
    assert found == [
        "gopher/api_client/transport.py",
        "gopher/files/bucket.py",
        "gopher/outbound/fetching.py",
    ]
