"""The mutants that no test can tell from the script that they come from, with the reason."""

import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("equivalent.toml")


def equivalent() -> dict[str, str]:
    """Return the reason for each mutant, by its name."""
    groups = tomllib.loads(FILE.read_text())["same"]
    return {name: group["reason"] for group in groups for name in group["mutants"]}
