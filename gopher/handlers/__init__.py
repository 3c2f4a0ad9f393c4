"""Gopher's built-in handlers: importing this package registers all five.

They are useful by themselves, and examples. Large libraries (Pillow, httpcore, smtplib) are imported when a job first
needs them, so that the API, which only validates payloads, stays small.
"""

from . import cleanup, image, mail, maths, report

__all__ = ["cleanup", "image", "mail", "maths", "preload", "report"]


def preload() -> None:
    """Import what the handlers import lazily, so that processes forked afterwards share its memory."""
    from gopher.base.installed import is_installed
    from gopher.config.tls import tls_context
    from gopher.outbound import fetching

    from . import smtp

    tls_context()
    del fetching, smtp
    if is_installed("handlers"):
        from . import pictures

        pictures.load_formats()
