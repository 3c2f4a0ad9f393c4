"""GOPHER_API_RATE: how many requests one client may send. A client is an API key, or an address without one."""

import math

from flask import Flask, Response, g, request

from gopher.admission import Admission, Turnstile
from gopher.errors import ServerError
from gopher.logs import get_logger
from gopher.settings import Settings

from .context import context
from .operations import of

_log = get_logger("api")


class RateLimited(Exception):
    """Raised when a client has sent more than it may."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many requests of this client: the next one is taken in {retry_after:.3g} s")
        self.retry_after = math.ceil(retry_after)


def install(app: Flask, settings: Settings) -> None:
    rate = settings.api_rate
    if rate is None:
        return
    turnstile = Turnstile(rate)

    @app.before_request
    def check() -> None:
        declared = of(app, request.endpoint)
        is_open = declared is not None and declared.role is None
        # A page's forms count all the same: somebody may be trying keys.
        is_form = declared is not None and declared.is_page and request.method == "POST"
        if request.method == "OPTIONS" or (is_open and not is_form):
            return
        client = f"key {g.key_name}" if "key_name" in g else f"address {request.remote_addr}"
        try:
            g.admission = turnstile.ask(context().doorkeeper.server, client)
        except ServerError as error:
            # Whoever counts is away: the call itself says so, better than a refusal would.
            _log.warning("requests are not counted", details=str(error), request_id=g.request_id)
            return
        if not g.admission.admitted:
            raise RateLimited(g.admission.retry_after)

    @app.after_request
    def tell(response: Response) -> Response:
        admission: Admission | None = g.get("admission")
        if admission is not None:
            response.headers["RateLimit-Limit"] = str(turnstile.tokens)
            response.headers["RateLimit-Remaining"] = str(admission.left)
            response.headers["RateLimit-Reset"] = str(math.ceil(admission.full_after))
            response.headers["RateLimit-Policy"] = f"{turnstile.tokens};w={math.ceil(turnstile.window)}"
        return response
