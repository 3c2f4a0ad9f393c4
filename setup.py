"""The description for a package index, what a wheel has besides the source, and how an editable install shows the
mapped folders to type checkers.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent
#: The only folder of a checkout that an editable install adds to Python's path: so it brings one name, as a wheel does.
LINKS = ".editable"


class Build(build_py):
    """Adds scripts as they are sent to the server: a program that submits one job would spend a tenth of its time on
    linking one.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        sys.path.insert(0, str(ROOT))
        from gopher.queue import scripts

        folder = Path(self.build_lib, "gopher/queue/lua/linked")
        folder.mkdir(exist_ok=True)
        for name in scripts.LINKED:
            (folder / f"{name}.lua").write_text(scripts.linked(name, scripts.read(name)), encoding="utf-8")


class Editable(editable_wheel):
    """Lays the folders of `package_dir` into the package by links, which git ignores.

    setuptools' own way is a hook of the import system. No editor, type checker or debugger knows that.
    """

    def finalize_options(self) -> None:
        mapped = self.distribution.package_dir
        if mapped and link(mapped):
            self.distribution.package_dir = {"": LINKS}
        super().finalize_options()


def link(mapped: dict[str, str]) -> bool:
    """Make the links, `gopher/app` to `app` and so on; return False where there can be none."""
    places = {package.replace(".", "/"): folder for package, folder in mapped.items() if package != folder}
    places |= {f"{LINKS}/{package}": folder for package, folder in mapped.items() if package == folder}
    try:
        for place, folder in places.items():
            path = ROOT / place
            path.parent.mkdir(exist_ok=True)
            if not path.is_symlink():
                path.symlink_to(os.path.relpath(ROOT / folder, path.parent), target_is_directory=True)
    except OSError:
        return False
    return True


def description(readme: str, base: str) -> str:
    """Return README.md with absolute links below `base`, or without links to files: an index has only the text."""

    def absolute(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        if base:
            return f"{image}[{text}]({base.rstrip('/')}/{target})"
        return "" if image else text

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", absolute, readme)


setup(
    long_description=description((ROOT / "README.md").read_text(), os.environ.get("GOPHER_FILES_URL", "")),
    cmdclass={"build_py": Build, "editable_wheel": Editable},
)
