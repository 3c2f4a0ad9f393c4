"""Rate limit of the API (GOPHER_API_RATE) for each client: an API key, or an address without one."""

import math
from collections.abc import Callable

from flask import Flask, Request, Response, g

from gopher.admin.admission import Admission, Turnstile
from gopher.config.settings import Settings
from gopher.errors import ServerError
from gopher.telemetry.logs import get_logger

from .context import context
from .operations import operation_of

_log = get_logger("api")


class RateLimited(Exception):
    """Raised when a client has exceeded the rate limit."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many requests from this client: try again in {retry_after:.3g} s")
        self.retry_after = math.ceil(retry_after)


def install(app: Flask, settings: Settings) -> Callable[[Request], None] | None:
    """Add rate limit headers to responses; return a function that counts a request, None without a rate limit."""
    rate = settings.api_rate
    if rate is None:
        return None
    turnstile = Turnstile(rate)

    def check(asked: Request) -> None:
        declared = operation_of(app, asked.endpoint)
        is_open = declared is not None and declared.role is None
        # Forms of pages count, too: they could be used to guess keys.
        is_form = declared is not None and declared.is_page and asked.method == "POST"
        if asked.method == "OPTIONS" or (is_open and not is_form):
            return
        client = f"key {g.key_name}" if "key_name" in g else f"address {asked.remote_addr}"
        try:
            g.admission = turnstile.ask(context().doorkeeper.server, client)
        except ServerError as error:
            # The server can't count. The operation itself will report it more clearly than a rejection here.
            _log.warning("rate limit not applied", details=str(error), request_id=g.request_id)
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

    return check
