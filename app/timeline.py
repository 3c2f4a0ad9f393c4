"""/api/v1/timeline: time series of the last hour, day or month."""

from flask import Blueprint

from gopher.interface import Gopher

from .serving import serve

blueprint = Blueprint("timeline", __name__)

timeline = serve(blueprint, Gopher.timeline)
