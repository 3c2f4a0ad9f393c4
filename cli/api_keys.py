"""`keys`: API keys that are kept on the server."""

from typing import Any

import click

from gopher.jobs.api_keys import CreatedKey, KeyRequest, KeyRotation, KeyView

from .common import client, common
from .derived import options
from .groups import SuggestingGroup
from .output import Output, when


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@common
def keys(out: Output) -> None:
    """Create, list, replace and revoke API keys on the server.

    Keys of GOPHER_API_KEYS are not among them.
    """
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@keys.command("list")
@common
def list_keys(out: Output) -> None:
    """List the keys, without their secrets."""
    _list(out)


def _list(out: Output) -> None:
    with client() as gopher:
        views = gopher.keys.all()
    if out.data({"keys": views}):
        return
    columns = ("id", "name", "role", "expires (UTC)", "last used (UTC)", "limited to")
    rows = [
        (
            view.key_id, view.name, view.role, "expired" if view.expired else when(view.expires_at),
            when(view.last_used_at), _limits(view),
        )
        for view in views
    ]  # fmt: skip
    out.table(columns, rows, empty="no keys: create one with `gopherctl keys create shop --role submit`")
    out.corrupt((view.key_id, view.corrupt) for view in views)


@keys.command("create")
@click.argument("name")
@options(KeyRequest, without=("name",))
@common
def create(out: Output, name: str, **fields: Any) -> None:
    """Create a key and print its secret, which is never shown again."""
    with client() as gopher:
        _tell(out, gopher.keys.create(name, **fields))


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@options(KeyRotation)
@common
def rotate(out: Output, key_id: str, **fields: Any) -> None:
    """Replace a key by one with the same name, role and limits, and print the secret of the new one."""
    with client() as gopher:
        _tell(out, gopher.keys.rotate(key_id, **fields))


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@common
def revoke(out: Output, key_id: str) -> None:
    """Revoke a key. No API process accepts it a few seconds later."""
    with client() as gopher:
        gopher.keys.revoke(key_id)
    if not out.data({"key_id": key_id, "revoked": True}):
        out.line(f"{key_id} is revoked")


def _tell(out: Output, key: CreatedKey) -> None:
    """Print a new key: only the secret on stdout, so that it can be piped to where it belongs."""
    if out.data(key):
        return
    limits = _limits(key)
    expires = f", expires {when(key.expires_at)}" if key.expires_at else ""
    out.note(f"key {key.key_id}: {key.name}, {key.role}{f', limited to {limits}' if limits else ''}{expires}")
    out.note("its secret, which is not shown again:")
    out.line(key.secret)


def _limits(key: KeyView) -> str:
    parts = [("queue", key.queues), ("type", key.types), ("tenant", [key.tenant] if key.tenant else [])]
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)
