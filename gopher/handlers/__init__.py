"""The handlers that Gopher ships: importing this package registers all five.

They are both of use and an example. What they need of large libraries (Pillow, httpcore, smtplib)
is imported when a job first needs it, so that the API, which only checks payloads, stays small.
"""

from . import cleanup, image, mail, maths, report

__all__ = ["cleanup", "image", "mail", "maths", "preload", "report"]


def preload() -> None:
    """Import what the handlers import late, so that processes forked after this share its memory."""
    from gopher.config.tls import tls_context

    from . import fetching, pictures, smtp

    pictures.load_formats()
    tls_context()
    del fetching, smtp
