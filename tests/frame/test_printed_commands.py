"""Each command that a message, a page, an alert or a document mentions is one that gopherctl takes as it is there."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from gopher.cli.main import cli

ROOT = Path(__file__).parents[2]
PARTS = ("gopher", "app", "cli", "scheduler", "testing", "worker")
#: What stands for a value that is filled in at run time.
FILLED = "7"
#: What only says where a value belongs.
PLACEHOLDER = re.compile(r"(?<![$A-Z_])\b[A-Z][A-Z_]+\b(?!=)")
#: Strings that begin with a command, or have one that is not marked, and are something else.
OTHERS = {"gopherctl up", "to use gopherctl or Python in another terminal: export 7"}


def sources() -> Iterator[Path]:
    # An editable install has links to the other parts in `gopher`.
    return (path for part in PARTS for path in sorted((ROOT / part).rglob("*.py")) if path.is_file())


@cache
def texts(path: Path) -> tuple[list[str], list[str]]:
    """Return the docstrings of a module, and its other strings with what is filled in replaced."""
    source = path.read_text()
    if "gopherctl" not in source:
        return [], []
    tree = ast.parse(source)
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    with_docs = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docs = {node.body[0].value for node in ast.walk(tree) if isinstance(node, with_docs) and ast.get_docstring(node)}
    strings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            strings.append("".join(each.value if isinstance(each, ast.Constant) else FILLED for each in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside | docs:
            strings.append(node.value)
    return [node.value for node in docs], strings


def marked(text: str) -> list[str]:
    """Return the commands that are marked as code, and those that stand on indented lines of a help text."""
    return [
        *re.findall(r"(?:`|<code>)gopherctl ([a-z][^`<]*)(?:`|</code>)", text),
        *re.findall(r"^ +gopherctl ([a-z][^|\n]*)", text, re.MULTILINE),
    ]


def mistake(command: str, *, is_complete: bool) -> str:
    """Return what is wrong with a command, "" if it is right. One that is not complete may be a mere name."""
    words = shlex.split(command)
    current: click.Command = cli
    context = click.Context(cli, info_name="gopherctl")
    while isinstance(current, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = current.get_command(context, name)
        if found is None:
            return f"there is no command {name!r}"
        current, context = found, click.Context(found, parent=context, info_name=name)
    if "--help" in words or not (words or is_complete):
        return ""
    try:
        given, rest, _ = current.make_parser(context).parse_args(words)
    except click.UsageError as error:
        return str(error)
    lacks = [each.name for each in current.params if each.required and given.get(str(each.name)) in (None, ())]
    return f"{command!r} lacks {lacks}" if lacks else f"{command!r} has {rest} too much" if rest else ""


@pytest.mark.parametrize("part", PARTS)
def test_a_message_has_only_commands_that_work(part):
    wrong = []
    for path in sorted((ROOT / part).rglob("*.py")):
        docs, strings = texts(path)
        for are_messages, every in ((False, docs), (True, strings)):
            for command in (each for text in every for each in marked(text)):
                problem = mistake(command, is_complete=are_messages)
                if not problem and are_messages and PLACEHOLDER.search(re.sub(r"'[^']*'", "", command)):
                    problem = f"{command!r} has a placeholder: print the value, or an example"
                wrong += [f"{path.relative_to(ROOT)}: {problem}"] if problem else []
    assert wrong == []


def test_commands_in_messages_are_marked_as_code():
    unmarked = re.compile(r"(?<![`/(\w])(?<!^)gopherctl [a-z]+(?:-[a-z]+)?\b")
    known = {*cli.list_commands(click.Context(cli))}
    found = [
        (str(path.relative_to(ROOT)), text)
        for path in sources()
        for text in texts(path)[1]
        for each in unmarked.findall(re.sub(r"^ +gopherctl.*$", "", text, flags=re.MULTILINE))
        # Of a script that is written or printed as a whole, and of names of Gopher itself.
        if each.split()[1] in known and not re.search(r"GOPHER_\w+=\S* gopherctl|\$\(gopherctl|with the command:", text)
    ]
    assert [each for each in found if each[1] not in OTHERS] == []


def test_pages_and_alerts_have_only_commands_that_work():
    every = [*(ROOT / "app/templates").rglob("*.html"), ROOT / "deploy/gopher-alerts.yml"]
    commands = []
    for path in every:
        text = re.sub(r"\{\{.*?\}\}", FILLED, path.read_text())
        alert = re.findall(r"gopherctl ([a-z-]+(?: --[a-z]+ 7)?)", text) if path.suffix == ".yml" else []
        commands += [*marked(text), *alert]
    assert len(commands) > 10
    # Of one that an alert mentions the id is to be filled in.
    assert [problem for each in commands if (problem := mistake(each, is_complete=each != "why"))] == []


def test_documents_mention_only_commands_that_exist():
    wrong = []
    for path in sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]):
        for command in re.findall(r"`gopherctl ([a-z][^`\n]*)`", path.read_text()):
            is_usage = re.search(r"[\[{|]|\.\.\.|^submit --cron$", command)
            problem = "" if is_usage else mistake(command, is_complete=False)
            wrong += [f"{path.name}: {problem}"] if problem else []
    assert wrong == []
