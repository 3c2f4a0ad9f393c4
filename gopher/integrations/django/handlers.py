"""Sets Django up, and closes and checks its database connections around each job.

The first module of GOPHER_HANDLERS in a process that `manage.py gopher` starts: those of the project follow.
"""

from importlib.util import find_spec

import django
from django.apps import apps

from gopher.hooks.registered import add

from .connections import ConnectionsMiddleware

if not apps.ready:
    django.setup()
add(ConnectionsMiddleware())
if find_spec("django.tasks"):
    from django.tasks import task_backends

    # Ours registers the job type of tasks in modules that no worker imports by itself.
    list(task_backends.all())
