"""The application as an HTTP server loads it: `gopher.app.wsgi:app`."""

from . import create_app

app = create_app()
