"""Puts the application together."""

from gopher.config.settings import Settings
from gopher.jobs.loading import load_handlers

from . import (
    access,
    answers,
    api_keys,
    audit,
    base_path,
    batches,
    cors,
    dashboard,
    dead_letters,
    deprecated,
    docs,
    failures,
    files,
    flow,
    health,
    index,
    jobs,
    metrics,
    openapi,
    proxies,
    queues,
    requests,
    scaling,
    schedules,
    timeline,
    tracing,
    trail,
    waiting,
    webhooks,
    workers,
)
from .application import Application
from .context import Context


def create(settings: Settings) -> Application:
    """Create the WSGI application with all its parts."""
    app = Application(__package__ or __name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.server_max_body
    app.url_map.strict_slashes = False
    if settings.trusted_proxies:
        app.before_routing.append(proxies.behind(settings.trusted_proxies))
    if settings.trusted_proxies or settings.base_path:
        app.before_routing.append(base_path.below(settings.base_path, settings.trusted_proxies))
    app.extensions["gopher"] = Context(settings, load_handlers(settings.handlers))

    tracing.install(app)
    requests.install(app, settings)
    cors.install(app, settings)
    access.install(app, settings)
    audit.install(app)
    answers.install(app)
    for part in (
        *(
            jobs,
            waiting,
            batches,
            files,
            queues,
            flow,
            schedules,
            dead_letters,
            workers,
            scaling,
            timeline,
            api_keys,
            webhooks,
            trail,
        ),
        *(health, metrics, index, openapi, docs),
    ):
        app.register_blueprint(part.blueprint)
    deprecated.install(app)
    dashboard.install(app)
    metrics.install(app)
    failures.install(app)
    return app
