"""What `gopherctl init` writes: a table of files per framework, filled from the templates in this package."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from gopher import __version__
from gopher.errors import ConfigurationError


@dataclass(frozen=True)
class File:
    """A file of the project: its path, its content, and what to add by hand if there is one already."""

    path: str
    content: str
    by_hand: str = ""


@dataclass(frozen=True)
class Framework:
    """How a framework is recognized and filled into the templates."""

    #: The template of the module with the tasks.
    jobs: str
    #: What an existing project says about itself, as values for the templates.
    find: Callable[[Path, str], dict[str, str]]
    #: What a new project needs in addition: (path, template), and lines of requirements.txt.
    application: tuple[str, str] | None = None
    requirements: tuple[str, ...] = ()


_OTHER_MODULE = "a task; or choose another module with --module"
#: Path, template, and what to add by hand; "" for the lines that are missing.
_COMMON = (
    ("Procfile", "Procfile", ""),
    ("requirements.txt", "requirements.txt", ""),
    ("requirements-dev.txt", "requirements-dev.txt", ""),
    (
        "Dockerfile",
        "Dockerfile",
        "# run workers from the same image, with the command: gopherctl worker --handlers $module",
    ),
    (".dockerignore", "dockerignore", ""),
)


def project_files(folder: Path, framework: Framework, module: str) -> Iterator[File]:
    """Yield the files of a project. Raises ConfigurationError if it isn't one of that framework."""
    found = framework.find(folder, module)
    values = {
        "module": module,
        "version": __version__,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        **found,
    }
    values["requirements"] = "\n".join(framework.requirements) if found["application"] == "" else ""
    if framework.application and found["application"] == "":
        name, template = framework.application
        yield File(name, _filled(template, values))
    yield File(_path_of(module), _filled(framework.jobs, values), _OTHER_MODULE)
    tests = "tests/" if (folder / "tests").is_dir() else ""
    if has_task(folder, module):
        yield File(f"{tests}test_{module.rpartition('.')[2]}.py", _filled("test_jobs.py", values))
    for path, template, by_hand in _COMMON:
        content = _filled(template, values)
        yield File(path, content, Template(by_hand).substitute(values) or _missing_lines(folder / path, content))


def has_task(folder: Path, module: str) -> bool:
    """Return whether the module has the task that `init` writes, or will have: there is none yet."""
    path = folder / _path_of(module)
    return not path.exists() or re.search(r"^(async )?def greet\(", path.read_text(errors="replace"), re.M) is not None


def _path_of(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _filled(template: str, values: dict[str, str]) -> str:
    text = (files(__package__) / "templates" / "init" / f"{template}.tmpl").read_text()
    return Template(text).substitute(values).rstrip() + "\n"


def _missing_lines(path: Path, wanted: str) -> str:
    """Return the wanted lines whose process, requirement or pattern an existing file lacks."""
    try:
        there = {_subject(line) for line in path.read_text(errors="replace").splitlines()}
    except OSError:
        return wanted
    return "\n".join(line for line in wanted.splitlines() if line[0] != "#" and _subject(line) not in there)


def _subject(line: str) -> str:
    """Return what a line is about: `web` in a Procfile, `gopherctl` in requirements."""
    return re.split(r"[:\[~=<> ]", line.strip(), maxsplit=1)[0]


# What an existing project says about itself


def _find_nothing(_folder: Path, module: str) -> dict[str, str]:
    return {"web": f"gopherctl web --handlers {module}", "application": ""}


def _find_django(folder: Path, _module: str) -> dict[str, str]:
    manage = folder / "manage.py"
    text = manage.read_text(errors="replace") if manage.is_file() else ""
    match = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", text)
    if match is None:
        raise ConfigurationError(
            f"{manage} does not exist, or does not name DJANGO_SETTINGS_MODULE: run this in the folder of manage.py, "
            "after `django-admin startproject config .` for a new project"
        )
    package = match[1].partition(".")[0]
    return {"settings": match[1], "web": f"gunicorn {package}.wsgi", "application": package}


def _find_flask(folder: Path, _module: str) -> dict[str, str]:
    for module, text in _sources(folder):
        if match := re.search(r"^(\w+)(?:: *\w+)? *= *(?:flask\.)?Flask\(", text, re.MULTILINE):
            name = match[1]
            alias = "" if name == "app" else " as app"
            return {
                "app": f"from {module} import {name}{alias}",
                "web": f"gunicorn {module}:{name}",
                "application": module,
            }
        if re.search(r"^def create_app\(", text, re.MULTILINE):
            made = f"from {module} import create_app\n\napp = create_app()"
            return {"app": made, "web": f'gunicorn "{module}:create_app()"', "application": module}
    return {"app": "from app import app", "web": "gunicorn app:app", "application": ""}


def _find_fastapi(folder: Path, _module: str) -> dict[str, str]:
    serve = "uvicorn {}:{} --host 0.0.0.0 --port ${{PORT:-8000}}"
    for module, text in _sources(folder):
        if match := re.search(r"^(\w+)(?:: *\w+)? *= *(?:fastapi\.)?FastAPI\(", text, re.MULTILINE):
            return {"web": serve.format(module, match[1]), "application": module}
    return {"web": serve.format("main", "app"), "application": ""}


def _sources(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the modules that may have the application, with their text: those at the top, and one level below."""
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")], key=lambda path: (len(path.parts), path)):
        names = list(path.relative_to(folder).with_suffix("").parts)
        if names[-1] == "__init__":
            names.pop()
        if names and all(name.isidentifier() for name in names) and not names[0].startswith("test"):
            yield ".".join(names), path.read_text(errors="replace")


FRAMEWORKS = {
    "": Framework("jobs.py", _find_nothing),
    "flask": Framework("jobs_flask.py", _find_flask, ("app.py", "app.py"), ("flask", "gunicorn")),
    "django": Framework("jobs_django.py", _find_django),
    "fastapi": Framework("jobs.py", _find_fastapi, ("main.py", "main.py"), ("fastapi", "uvicorn")),
}
