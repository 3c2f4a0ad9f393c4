"""/api/v1/timeline, /api/v1/types/<type>/stats: what happened in the last hour, day or month."""

from flask import Blueprint

from gopher.interface import Gopher

from .serving import serve

blueprint = Blueprint("timeline", __name__)

timeline = serve(blueprint, Gopher.timeline)
type_stats = serve(blueprint, Gopher.type_stats)
