"""The WSGI application for HTTP servers: `gopher.app.wsgi:app`."""

import sys

from gopher.errors import ConfigurationError

from . import create_app

#: With this exit code, a gunicorn process reports that others would fail, too: no more are started.
_NONE_WILL_START = 3

try:
    app = create_app()
except ConfigurationError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_NONE_WILL_START)
