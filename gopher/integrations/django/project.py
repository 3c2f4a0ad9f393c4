"""The settings GOPHER of a Django project, and the modules with its handlers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import module_has_submodule

from gopher.errors import ConfigurationError
from gopher.integrations.project import Project

#: Modules of an app that are looked for if GOPHER has no HANDLERS.
DISCOVERED = ("jobs", "tasks")
#: Sets Django up in each process of Gopher.
LOADER = "gopher.integrations.django.handlers"
#: Settings that are read here, not by Gopher.
_OURS = ("DASHBOARD_URL",)


def own_settings() -> dict[str, Any]:
    """Return the dict GOPHER of the project's settings."""
    own = getattr(settings, "GOPHER", {})
    if not isinstance(own, Mapping):
        raise ConfigurationError("GOPHER must be a dict, such as {'REDIS_URL': 'redis://localhost:6379/0'}")
    return dict(own)


def dashboard_url() -> str:
    """Return where the dashboard is, "" if it isn't said."""
    return str(own_settings().get("DASHBOARD_URL") or "")


def handler_modules() -> tuple[str, ...]:
    """Return the modules of HANDLERS, else `jobs` and `tasks` of each installed app that has them."""
    own = own_settings()
    given = own.get("HANDLERS") or own.get("GOPHER_HANDLERS") or os.environ.get("GOPHER_HANDLERS")
    listed = given.split(",") if isinstance(given, str) else list(given or _discovered())
    return tuple(name.strip() for name in listed if name.strip() not in ("", LOADER)) or tuple(_discovered())


def _discovered() -> Iterator[str]:
    for config in apps.get_app_configs():
        if config.module is not None:
            yield from (f"{config.name}.{name}" for name in DISCOVERED if module_has_submodule(config.module, name))


def _load() -> tuple[Mapping[str, Any], Sequence[str]]:
    own = own_settings()
    for name in (*_OURS, "HANDLERS", "GOPHER_HANDLERS"):
        own.pop(name, None)
    return own, handler_modules()


project = Project(_load)
