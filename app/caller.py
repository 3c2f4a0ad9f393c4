"""Who sent the current request, as far as it matters for what it may learn."""

from flask import g

from gopher.compat import current
from gopher.config.key_kinds import ROLES, Role
from gopher.errors import GopherError

from .context import context


def role_of_caller() -> Role | None:
    """Return the caller's role: of the key, or of the dashboard's visitor; None without a valid key.

    Where no API keys are required, everyone is an admin.
    """
    about = current(g)
    key = about.get("visitor") or about.get("key")
    if key is not None:
        role: Role = key.role
        return role
    try:
        # Probes ask this, too: they are answered while the server hangs.
        return None if context().keyring.required(waits=False) else "admin"
    except GopherError:
        # Whether there are keys can't be known.
        return None


def requires_key() -> bool:
    """Return whether calls require an API key. Raises ServerError if that can't be known."""
    return context().keyring.required()


def may_read() -> bool:
    """Return whether the caller may know details of the installation. Also for calls that need no key."""
    role = role_of_caller()
    return role is not None and ROLES.index(role) >= ROLES.index("read")
