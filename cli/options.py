"""What a field of the API is called on the command line."""

#: Those whose option has another name.
_NAMES = {
    "cron_expression": "--cron",
    "execute_at": "--at",
    "n": "-n",
    "name": "NAME",
    "payload": "-p",
    "recurring": "--cron",
    "timezone": "--tz",
    "type": "-t",
}


def option_of(field: str) -> str:
    """Return the option that gives a field, and the place in it: `-p /width` for `/payload/width`."""
    name, _, rest = field.lstrip("/").partition("/")
    option = _NAMES.get(name, f"--{name.replace('_', '-')}")
    return f"{option} /{rest}" if rest else option
