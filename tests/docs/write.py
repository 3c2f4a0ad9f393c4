"""`python -m tests.docs.write [PAGE ...]`: run the documents' commands and write their true answers below them.

What an answer leaves out by `...` stays left out; below a new command write `?` for the whole answer. A command without
anything below it stays so.
"""

import sys
import tempfile
from pathlib import Path

from tests.docs.console import commands, rendered, rewritten
from tests.docs.reference import PAGE, with_reference
from tests.docs.system import PAGES, ROOT, running_system


def write(name: str) -> None:
    path = ROOT / name
    page = path.read_text()
    with tempfile.TemporaryDirectory(prefix="gopher-docs-") as folder, running_system(Path(folder), page) as terminal:
        answers = []
        for command in commands(page):
            said = terminal.run(command)
            terminal.learn(command.answer, said)
            answers.append(rendered(command.answer, said) if command.answer else "")
    written = rewritten(page, answers, terminal.ids)
    path.write_text(with_reference(written) if path == PAGE else written)


if __name__ == "__main__":
    for each in sys.argv[1:] or PAGES:
        write(each)
