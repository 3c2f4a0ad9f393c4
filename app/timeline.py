"""/api/v1/timeline: what happened over the last hour, day or month, as the points of plots."""

from flask import Blueprint

from gopher.interface import Gopher

from .serving import serve

blueprint = Blueprint("timeline", __name__)

timeline = serve(blueprint, Gopher.timeline)
