"""`manage.py gopher worker`: any command of `gopherctl`, with the settings and the handlers of the project."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gopher.errors import GopherError
from gopher.integrations.django.project import LOADER, handler_modules, project

#: `manage.py` has applied them before it runs a command.
_READ_BY_DJANGO = ("--settings=", "--pythonpath=")


class Command(BaseCommand):
    """Passes its arguments on: `manage.py gopher worker`, `scheduler`, `up`, `submit`, `why`, ..."""

    help = "Run gopherctl with the settings and the handlers of this project."
    #: `gopherctl` checks what it needs, and a worker should not wait for the database.
    requires_system_checks: Sequence[str] = ()

    def run_from_argv(self, argv: list[str]) -> None:
        # Without Django's own options, which would take --help, --version and -v.
        try:
            code = self._run([each for each in argv[2:] if not each.startswith(_READ_BY_DJANGO)])
        except GopherError as error:
            self.stderr.write(f"Error: {error}")
            code = 1
        sys.exit(code)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        code = self._run([*args, *options.get("arguments", [])])
        if code:
            raise CommandError(f"gopherctl ended with exit code {code}", returncode=code)

    def _run(self, arguments: Sequence[str]) -> int:
        variables = {
            "GOPHER_HANDLERS": ",".join([LOADER, *handler_modules()]),
            "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
        }
        return project.gopherctl(arguments or ("--help",), **variables)
