"""`manage.py check` of the settings GOPHER."""

from typing import Any

from django.core.checks import CheckMessage, Error

from gopher.errors import ConfigurationError

from .project import project


def check_settings(**_: Any) -> list[CheckMessage]:
    """Report settings that Gopher refuses."""
    try:
        project.check()
    except ConfigurationError as error:
        return [Error(str(error), id="gopher.E001")]
    return []
