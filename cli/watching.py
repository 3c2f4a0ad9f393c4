"""`python -m gopher.cli.watching FOLDER...`: print a line for each Python file that changes.

A process of its own, since watchfiles has threads, and who starts processes must have none.
"""

import sys
from pathlib import Path

from gopher.cli.reloading import CHANGED
from watchfiles import Change, PythonFilter, watch


class _Sources(PythonFilter):
    """Python files outside of environments."""

    ignore_dirs = (*PythonFilter.ignore_dirs, "venv", "env", "site-packages")

    def __init__(self, folders: list[str]) -> None:
        super().__init__()
        self._folders = [Path(folder).resolve() for folder in folders]

    def __call__(self, change: Change, path: str) -> bool:
        changed = Path(path).resolve()
        # Names of folders above the project say nothing about it.
        within = (changed.relative_to(folder) for folder in self._folders if changed.is_relative_to(folder))
        return any(super(_Sources, self).__call__(change, str(each)) for each in within)


def main(folders: list[str]) -> None:
    """Watch until killed."""
    for changes in watch(*folders, watch_filter=_Sources(folders), ignore_permission_denied=True):
        for path in sorted({path for _, path in changes}):
            print(f"{CHANGED}{path}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
