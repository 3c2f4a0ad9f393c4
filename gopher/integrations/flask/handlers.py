"""Gives each job an application context of the application that FLASK_APP names.

The first module of GOPHER_HANDLERS in a process that `flask gopher` starts: those of the application follow.
"""

import os

from flask.cli import ScriptInfo

from gopher.hooks.registered import add

from .context import AppContextMiddleware

#: As the command `flask` finds it: FLASK_APP, else app.py or wsgi.py in the current folder.
app = ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app()
add(AppContextMiddleware(app))
