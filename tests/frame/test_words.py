"""What users and readers read is written in plain English: see words.py for the list, and for what to write instead."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from gopher.cli.main import cli

from tests.frame.words import WORDS

ROOT = Path(__file__).parents[2]
#: What is shipped, and how it is built and measured.
CODE = ("app", "cli", "gopher", "worker", "scheduler", "testing", "benchmarks", "setup.py")
#: Files whose whole text is read.
TEXTS = (
    "README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md docs/*.md configs deploy Makefile Dockerfile "
    "docker-compose.yml app.json Procfile setup.cfg pyproject.toml app/templates cli/templates "
    "app/static/dashboard/*.js app/static/dashboard/*.css app/static/dashboard/vendor/README.md "
    "app/static/docs/docs.* app/static/docs/ORIGIN.txt"
).split()
#: Names that must stay: a JSON field of `doctor --json`, and a crash point.
NAMES = {"verdict", "bell.rung"}

_PHRASES = "|".join(re.escape(phrase) for phrase in sorted(WORDS, key=len, reverse=True))
_PATTERN = re.compile(rf"(?<![\w.-])(?:{_PHRASES})(?![\w-])", re.IGNORECASE)


def files(*patterns: str) -> list[str]:
    return subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


def advice(text: str) -> list[str]:
    """Return a line for each phrase that should be another one."""
    found = []
    for match in _PATTERN.finditer(text):
        around = text[max(match.start() - 40, 0) : match.end() + 40].strip()
        found.append(f"{match[0]!r} in {around!r}: write {WORDS[match[0].lower()]}")
    return found


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield strings and comments with their lines. A string without a space is a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, " ".join(node.value.split())
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", files(*(f"{each}/*.py" if "." not in each else each for each in CODE)))
def test_strings_and_comments_of_a_source_file_use_plain_words(path: str) -> None:
    found = [f"{path}:{line}: {each}" for line, text in texts_of((ROOT / path).read_text()) for each in advice(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", files(*TEXTS))
def test_a_text_file_uses_plain_words(path: str) -> None:
    text = " ".join(word for word in (ROOT / path).read_text().split() if word.strip("`\"',.") not in NAMES)
    assert not advice(text), "\n".join(f"{path}: {each}" for each in advice(text))


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield each command's name and its help."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            assert each is not None
            yield from commands(each, click.Context(each, info_name=name, parent=context))


def test_the_help_of_every_command_uses_plain_words() -> None:
    helps = dict(commands(cli, click.Context(cli, info_name="gopherctl")))
    assert len(helps) > 30
    found = [f"{name}: {each}" for name, text in helps.items() for each in advice(" ".join(text.split()))]
    assert not found, "\n".join(found)


_OPENAPI = """
import json
from gopher.app import create_app, openapi
from gopher.config.settings import Settings
print(json.dumps(openapi.document(create_app(Settings()))))
"""


def test_the_openapi_document_uses_plain_words() -> None:
    # In a process of its own: other tests register handlers here, whose names and texts are theirs.
    document = subprocess.check_output([sys.executable, "-c", _OPENAPI], text=True)
    assert "Submit a job" in document
    assert not advice(document), "\n".join(advice(document))


def test_a_word_to_avoid_is_reported_with_what_to_write() -> None:
    (line,) = advice("The rest is retried by and by.")
    assert line.endswith("write gradually, in the background")
    assert not advice("It stands-in; the recommended way; understood; a Pythonista lied")
