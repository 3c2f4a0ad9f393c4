"""Chromium, where there is one."""

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

#: The first one has no window, which halves its work.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()


def program() -> str | None:
    """Return the path of a Chromium, None when there is none."""
    return os.environ.get("GOPHER_TEST_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)


def launch(playwright: "Playwright") -> "Browser":
    """Start it, without a window, and without what it would ask of other hosts by itself."""
    return playwright.chromium.launch(executable_path=program(), args=_ARGUMENTS)
