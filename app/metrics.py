"""/metrics: the fleet's figures, and the API's own over all of its processes."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from flask import Blueprint, Flask, Response, g, request

from gopher.errors import ServerError

from . import multiproc
from .context import context
from .operations import operation
from .requests import path_template

multiproc.ensure()

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest  # noqa: E402
from prometheus_client.core import GaugeMetricFamily, Metric  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402
from prometheus_flask_exporter.multiprocess import MultiprocessInternalPrometheusMetrics  # noqa: E402

from .fleet import OTHER, Fleet  # noqa: E402

blueprint = Blueprint("metrics", __name__)

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)


@blueprint.get("/metrics")
@operation("read", {200: "text/plain"})
def metrics() -> Response:
    """Show the figures of the whole fleet, for Prometheus."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Once(_look()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _look() -> list[Metric]:
    """Return the figures of the fleet; of a server that does not answer, that it does not."""
    try:
        found = list(Fleet(context().client, context().registry).collect())
    except ServerError:
        found = []
    up = GaugeMetricFamily(
        "gopher_up", "Whether the server answered: without it there are no figures of jobs.", value=int(bool(found))
    )
    return [up, *found]


def install(app: Flask) -> Callable[[Any], Any]:
    """Count and time the answers of all views; return what does so for one more."""
    exporter = MultiprocessInternalPrometheusMetrics.for_app_factory(export_defaults=False)
    exporter.app = app
    counter = exporter.counter(
        "gopher_api_requests_total",
        "Requests answered.",
        labels={"method": _method, "path": path_template, "status": _status},
    )
    histogram = exporter.histogram(
        "gopher_api_request_duration_seconds",
        "How long answers took.",
        labels={"method": _method, "path": path_template},
        buckets=_BUCKETS,
    )
    exporter.register_default(counter, histogram, app=app)
    for endpoint, view in app.view_functions.items():
        app.view_functions[endpoint] = _noted(view)
    return lambda view: histogram(counter(view))


def _noted(view: Callable[..., Any]) -> Callable[..., Any]:
    """Note that a view was reached: then its answer is counted, also when it raises."""

    @wraps(view)
    def noted(*arguments: Any, **named: Any) -> Any:
        g.in_view = True
        return view(*arguments, **named)

    return noted


def _method() -> str:
    return request.method if request.method in _METHODS else OTHER


def _status(answered: Response) -> int:
    return answered.status_code


# The exporter looks up the signature of each label's function with each request: these are found at once.
for _label in (_method, path_template, _status):
    _label.__signature__ = signature(_label)  # type: ignore[union-attr]


class _Once:
    """A collector of what was found already, which the registry does not ask for its names when it is registered."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        return self._found
