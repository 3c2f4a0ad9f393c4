"""/api/v1/workers: live workers."""

from flask import Blueprint

from gopher.interface import Gopher

from .serving import serve

blueprint = Blueprint("workers", __name__)

workers = serve(blueprint, Gopher.workers)
