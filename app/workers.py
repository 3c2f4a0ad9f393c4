"""/api/v1/workers: live workers, told to be quiet or to stop, and the stacks of their jobs."""

from flask import Blueprint

from gopher.interface import FleetInterface, Gopher

from .serving import serve

blueprint = Blueprint("workers", __name__)

workers = serve(blueprint, Gopher.workers)
quiet = serve(blueprint, FleetInterface.quiet)
stop = serve(blueprint, FleetInterface.stop)
quiet_all = serve(blueprint, FleetInterface.quiet_all)
stop_all = serve(blueprint, FleetInterface.stop_all)
stack = serve(blueprint, FleetInterface.stack)
