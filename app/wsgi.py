"""The application as an HTTP server loads it: `gopher.app.wsgi:app`."""

import sys

from gopher.errors import ConfigurationError

from . import create_app

#: With this code a process of gunicorn's says that others would fail as it did: then none is started any more.
_NONE_WILL_START = 3

try:
    app = create_app()
except ConfigurationError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_NONE_WILL_START)
