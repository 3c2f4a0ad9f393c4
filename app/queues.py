"""/api/v1/queue/stats and /api/v1/queues: statistics, and emptying queues."""

from flask import Blueprint

from gopher.interface import Gopher

from .serving import serve

blueprint = Blueprint("queues", __name__)

stats = serve(blueprint, Gopher.stats)
purge = serve(blueprint, Gopher.purge)
