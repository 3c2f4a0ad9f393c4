"""GOPHER_API_RATE: how many requests one client may send. A client is an API key, or an address without one."""

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
    """Raised when a client has sent more than it may."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many requests of this client: the next one is taken in {retry_after:.3g} s")
        self.retry_after = math.ceil(retry_after)


def install(app: Flask, settings: Settings) -> Callable[[Request], None] | None:
    """Tell clients where they stand; return what counts a request and refuses one too many, None without a rate."""
    rate = settings.api_rate
    if rate is None:
        return None
    turnstile = Turnstile(rate)

    def check(asked: Request) -> None:
        declared = operation_of(app, asked.endpoint)
        is_open = declared is not None and declared.role is None
        # A page's forms count all the same: somebody may be trying keys.
        is_form = declared is not None and declared.is_page and asked.method == "POST"
        if asked.method == "OPTIONS" or (is_open and not is_form):
            return
        client = f"key {g.key_name}" if "key_name" in g else f"address {asked.remote_addr}"
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

    return check
