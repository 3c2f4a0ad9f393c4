"""Maps the API's fields to options of the command line."""

#: Those whose options have other names than the field, or more.
_NAMES = {
    "cron_expression": ("--cron",),
    "events": ("--event",),
    "execute_at": ("--at",),
    "max_retries": ("-r", "--max-retries"),
    "n": ("-n",),
    "payload": ("-p", "--payload"),
    "queues": ("--queue",),
    "tags": ("--tag", "--tags"),
    "tenants": ("--tenant",),
    "timezone": ("--tz",),
    "type": ("-t", "--type"),
    "types": ("-t", "--type"),
}
#: Fields that are given otherwise: as an argument, or as part of the value of an option.
_ELSEWHERE = {"name": "NAME", "recurring": "--cron"}


def names_of(field: str) -> tuple[str, ...]:
    """Return the names of the option that gives a field."""
    return _NAMES.get(field, (f"--{field.replace('_', '-')}",))


def option_of(field: str) -> str:
    """Return the option of a field, and the path within its value: `-p /width` for `/payload/width`."""
    name, _, rest = field.lstrip("/").partition("/")
    option = _ELSEWHERE.get(name) or names_of(name)[0]
    return f"{option} /{rest}" if rest else option
