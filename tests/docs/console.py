"""The documents' examples: commands with their answers, read from Markdown, run, compared, written anew.

A block that is run has a comment above it and looks like a terminal:

    <!-- run -->
    ```console
    $ curl -s http://localhost:8080/api/v1/jobs/types
    {"job_types":{"cleanup":"Prunes old results...",...},...}
    ```

What differs from run to run (ids, times, measured amounts) may differ; an id that an answer brings stands for the
documented one in later commands. `...` leaves out members of JSON, the rest of a string, or lines of text. A command
without an answer below it only has to end well.
"""

import json
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.worker.nursery import Raised, can_raise

ADDRESS = "http://localhost:8080"
#: What stands in the documents for the folder in which the commands are run, and for the name of its machine.
FOLDER, HOST = "/home/ann/shop", "ann"
WIDTH = 118

_BLOCK = re.compile(r"<!-- run -->\n```console\n(.*?)```\n", re.DOTALL)
#: Ids of jobs, and of API keys.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![\w-])[0-9a-f]{12}(?![\w-])")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
#: A command that needs no shell.
_PLAIN = re.compile(r"gopherctl ((?:[^|&;<>$`*?~#\\\n'\"]|'[^'\n]*'|\"[^\"$`\\\n]*\")*)")
#: How `...` and `?` of documented JSON are kept once it is read.
_MORE, _ALL = "\u2026", "\u00bf"

# What may differ from run to run, and what it becomes before two texts are compared.
_CHANGING = (
    (re.compile(r"\b\d{13}-[0-9a-f]{12}\b"), "<version>"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b"), "<time>"),
    (_UUID, "<id>"),
    (re.compile(r"\b[\w-]+-\d+-[0-9a-f]{16}\b"), "<worker>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<request>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<group>"),
    (re.compile(r"\.py:\d+ "), ".py:<line> "),
    (re.compile(r"\b(?:\d+/)?(?:\d+(?:\.\d+)? ?(?:ms|s|m|h|d|MiB))+\b"), "<amount>"),
    # Connections: some are made when they are first needed.
    (re.compile(r"\b\d+ open, "), "<count> open, "),
    (re.compile(r"\s+"), " "),
    # In a table of workers the host and the process follow.
    (re.compile(r"<worker> \S+ \d+ "), "<worker> "),
)

#: Members of JSON whose numbers differ from run to run, or from one version of a library to the next. What an attempt
#: used is null if it was short, and on a busy machine the same one is not.
_MEASURED = {
    *("bytes", "duration", "latency_ms", "oldest_waiting_age", "pid", "rss"),
    *("cpu_user", "cpu_system", "peak_memory"),
}

#: Lines of `gopherctl job` that are there only if the attempt took long, or waited: on a busy machine any may.
_OF_LONG_ATTEMPTS = re.compile(r"(?:cpu time|peak memory|waited for memory)  ")


@dataclass(frozen=True)
class Command:
    """A command of a document and the answer below it, "" for none."""

    text: str
    answer: str


def commands(page: str) -> list[Command]:
    """Return the commands of a page's blocks that are run."""
    return [command for block in _BLOCK.findall(page) for command in _read(block)]


def rewritten(page: str, answers: list[str], ids: Mapping[str, str]) -> str:
    """Return a page with these answers in place of those below its commands, and these ids in place of its own."""
    left = iter(answers)

    def block(match: re.Match[str]) -> str:
        lines = "".join(f"$ {command.text}\n{next(left)}" for command in _read(match[1]))
        return f"<!-- run -->\n```console\n{lines}```\n"

    return _UUID.sub(lambda found: ids.get(found[0], found[0]), _BLOCK.sub(block, page))


def _read(block: str) -> Iterator[Command]:
    lines = block.splitlines()
    while lines:
        text = lines.pop(0).removeprefix("$ ")
        while not _is_whole(text):
            text += "\n" + lines.pop(0)
        answer = ""
        while lines and not lines[0].startswith("$ "):
            answer += lines.pop(0) + "\n"
        yield Command(text, answer)


def _is_whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return not text.endswith("\\")


@dataclass
class Terminal:
    """Runs commands one after the other against a running system."""

    folder: Path
    #: Of the API, such as http://127.0.0.1:41234.
    url: str
    environ: Mapping[str, str]
    #: Documented id -> the one that stands for it in this run.
    ids: dict[str, str] = field(default_factory=dict)
    #: Documented time of a command -> the one that stands for it: what a document calls the future has to be that.
    _times: dict[str, datetime] = field(default_factory=dict)

    def run(self, command: Command) -> str:
        """Run a command and return its answer, else its complaint, in the documents' own terms."""
        code, said = self._run(self._real(command.text))
        if code and not command.answer:
            raise AssertionError(f"$ {command.text}\nended with {code}: {said}")
        for documented, real in self._times.items():
            said = said.replace(real.strftime("%Y-%m-%dT%H:%M:%S"), documented.removesuffix("Z"))
        said = said.replace(self.url, ADDRESS).replace(self.url.removeprefix("http://"), "localhost:8080")
        return said.replace(str(self.folder), FOLDER).replace(socket.gethostname(), HOST)

    def _run(self, text: str) -> tuple[int, str]:
        """Return the exit code of a command, and what it says."""
        if (found := _PLAIN.fullmatch(text)) and can_raise({}):
            with tempfile.TemporaryDirectory() as streams:
                out, err = Path(streams, "out"), Path(streams, "err")
                arguments = shlex.split(found[1])
                command = Raised(
                    "gopher.cli", self.environ, self.folder, out, arguments=arguments, err=err, safe_path=True
                )
                return command.wait(300), out.read_text() or err.read_text()
        done = subprocess.run(
            ["bash", "-c", text], env=self.environ, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout or done.stderr

    def learn(self, documented: str, said: str) -> None:
        """Note which ids of an answer stand for those that the document shows."""
        template, answer = _template(documented), _json(said)
        if template is None or answer is None:
            template, answer = documented, said
        for theirs, ours in _pairs(template, answer):
            self.ids.setdefault(theirs, ours)

    def _real(self, text: str) -> str:
        text = text.replace(ADDRESS, self.url)
        text = _UUID.sub(lambda found: self.ids.get(found[0], found[0]), text)
        return _TIME.sub(self._ahead, text)

    def _ahead(self, found: re.Match[str]) -> str:
        time = datetime.now(UTC) + timedelta(hours=1 + len(self._times))
        return self._times.setdefault(found[0], time).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pairs(template: Any, answer: Any) -> Iterator[tuple[str, str]]:
    """Yield the ids of a documented answer with those that stand at the same place in the real one."""
    if isinstance(template, dict) and isinstance(answer, dict):
        for name in template.keys() & answer.keys():
            yield from _pairs(template[name], answer[name])
    elif isinstance(template, list) and isinstance(answer, list):
        for mine, theirs in zip(template, answer, strict=False):
            yield from _pairs(mine, theirs)
    elif isinstance(template, str) and isinstance(answer, str):
        yield from zip(_UUID.findall(template), _UUID.findall(answer), strict=False)


def difference(documented: str, said: str) -> str:
    """Return where an answer differs from the documented one in more than may change, "" for nowhere."""
    template, answer = _template(documented), _json(said)
    if template is not None and answer is not None:
        return "; ".join(_differences(template, answer, ""))
    pattern = "".join(
        # No line at all is left out as well.
        "(?:.*\n)?" if line.strip() == "..." else re.escape(stable(line)).replace(r"\.\.\.", ".*") + "\n"
        for line in documented.rstrip().splitlines()
    )
    lines = [line for line in said.rstrip().splitlines() if not _OF_LONG_ATTEMPTS.match(line)]
    text = "".join(f"{stable(line)}\n" for line in lines)
    return "" if re.fullmatch(pattern, text, re.DOTALL) else f"it says\n{text}"


def stable(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text.strip()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _template(text: str) -> Any:
    """Return documented JSON with a member or element `…` where it leaves something out; None for other text.

    `?` becomes the value `¿`.
    """
    out, kinds, at, in_string = [], [""], 0, False
    while at < len(text):
        letter = text[at]
        if in_string:
            out.append(text[at : at + 2] if letter == "\\" else letter)
            in_string = letter != '"'
            at += 2 if letter == "\\" else 1
            continue
        if text.startswith("...", at):
            # A member needs a name of its own.
            out.append(f'"{_MORE}{at}":0' if kinds[-1] == "{" else f'"{_MORE}"')
            at += 3
            continue
        in_string = letter == '"'
        if letter in "{[":
            kinds.append(letter)
        elif letter in "}]":
            kinds.pop()
        out.append(f'"{_ALL}"' if letter == "?" else letter)
        at += 1
    return _json("".join(out))


def _differences(template: Any, answer: Any, place: str) -> Iterator[str]:
    if isinstance(template, dict) and isinstance(answer, dict):
        wanted = {name for name in template if not name.startswith(_MORE)}
        if wanted - answer.keys() or (len(wanted) == len(template) and answer.keys() - wanted):
            yield f"{place or '/'} has {', '.join(answer)}"
            return
        for name in wanted:
            yield from _differences(template[name], answer[name], f"{place}/{name}")
    elif isinstance(template, list) and isinstance(answer, list):
        wanted = [each for each in template if each != _MORE]
        if len(answer) < len(wanted) or (_MORE not in template and len(answer) > len(wanted)):
            yield f"{place} has {len(answer)} elements"
            return
        for index, (mine, theirs) in enumerate(zip(wanted, answer, strict=False)):
            yield from _differences(mine, theirs, f"{place}/{index}")
    elif not (place.rpartition("/")[2] in _MEASURED or _alike(template, answer)):
        yield f"{place} is {answer!r}"


def _alike(template: Any, answer: Any) -> bool:
    if isinstance(template, str) and isinstance(answer, str):
        if template.endswith("..."):
            return stable(answer).startswith(stable(template[:-3]))
        return stable(template) == stable(answer)
    return type(template) is type(answer) and bool(template == answer)


def rendered(documented: str, said: str) -> str:
    """Return an answer as a document shows it, with what the documented one leaves out left out too."""
    template, answer = _template(documented), _json(said)
    if answer is None:
        return documented if "\n..." in documented else said.rstrip("\n") + "\n"
    return _wrapped(_shown(template, answer)) + "\n"


_COMPACT: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}


def _shown(template: Any, answer: Any) -> str:
    if isinstance(template, dict) and isinstance(answer, dict):
        members = (
            "..." if name.startswith(_MORE) else f"{json.dumps(name)}:{_shown(template[name], answer[name])}"
            for name in template
            if name.startswith(_MORE) or name in answer
        )
        return "{" + ",".join(members) + "}"
    if isinstance(template, list) and isinstance(answer, list):
        values = iter(answer)
        shown = [
            "..." if each == _MORE else _shown(each, value)
            for each in template
            if each == _MORE or (value := next(values, None)) is not None
        ]
        return "[" + ",".join(shown) + "]"
    if isinstance(template, str) and isinstance(answer, str) and template.endswith("..."):
        answer = answer[: len(template) - 3] + "..."
    return json.dumps(answer, **_COMPACT)


def _wrapped(text: str) -> str:
    """Break JSON after commas outside strings, so that no line is wider than WIDTH where that can be helped."""
    pieces = re.findall(r'(?:"(?:\\.|[^"\\])*"|[^",])*,?', text)
    lines = [""]
    for piece in pieces:
        if lines[-1].strip() and len(lines[-1]) + len(piece) > WIDTH:
            lines.append(" ")
        lines[-1] += piece
    return "\n".join(lines)
