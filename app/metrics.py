"""/metrics: metrics of the fleet, and of all processes of this API."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, Flask, Response, g
from werkzeug.wrappers import Response as BaseResponse

from gopher.compat import current
from gopher.errors import ServerError

from . import multiproc
from .context import context, current_request
from .operations import operation
from .requests import path_template

multiproc.ensure()

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest  # noqa: E402
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
    """Metrics for Prometheus."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Once(_look()))
    with multiproc.reading():
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _look() -> list[Metric]:
    """Return the metrics of the fleet, or only `gopher_up 0` if the server does not respond."""
    try:
        found = list(Fleet(context().client, context().registry).collect())
    except ServerError:
        found = []
    up = GaugeMetricFamily(
        "gopher_up", "Whether the server responded; without it there are no job metrics.", value=int(bool(found))
    )
    return [up, *found]


def install(app: Flask) -> None:
    """Count and time all responses: those of views, and those to requests that are rejected before a view."""
    exporter = MultiprocessInternalPrometheusMetrics.for_app_factory(export_defaults=False)
    requests = _Requests(app, exporter.registry)
    exporter.register_default(requests.counted, app=app)

    @app.after_request
    def count_rejected(response: Response) -> Response:
        about = current(g)
        if "in_view" not in about:
            requests.note(response.status_code, time.perf_counter() - about.started)
        return response


class _Requests:
    """One wrapper of views for both figures, which remembers where each answer is counted.

    The exporter's own wrappers, one for each figure, ask with each request what each label's function takes, and look
    for the place under a lock: that took a sixth of what a submission costs.
    """

    def __init__(self, app: Flask, registry: CollectorRegistry) -> None:
        self._app = app
        labels = ("method", "path")
        self._answered = Counter(
            "gopher_api_requests_total", "Requests handled.", (*labels, "status"), registry=registry
        )
        self._durations = Histogram(
            "gopher_api_request_duration_seconds",
            "Duration of requests.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        #: No more entries than series: each of the three labels is bounded.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def counted(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Count and time the responses of a view, including error responses."""
        app = self._app

        @wraps(view)
        def answered_view(*arguments: Any, **named: Any) -> Any:
            g.in_view = True
            began = time.perf_counter()
            try:
                answered = view(*arguments, **named)
            except Exception as error:  # noqa: BLE001 - the error handlers handle it
                answered = app.handle_user_exception(error)
            passed = time.perf_counter() - began
            if not isinstance(answered, BaseResponse):
                answered = app.make_response(answered)
            self.note(answered.status_code, passed)
            return answered

        return answered_view

    def note(self, status: int, passed: float) -> None:
        """Count a response to the current request."""
        asked = current_request()
        method = asked.method if asked.method in _METHODS else OTHER
        key = (method, path_template(asked), status)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = (self._answered.labels(*key), self._durations.labels(*key[:2]))
        found[0].inc()
        found[1].observe(passed)


class _Once:
    """A collector of given metrics, which the registry does not call when it is registered."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        return self._found
