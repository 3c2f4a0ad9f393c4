"""Handlers whose errors go to Sentry, by a transport that writes them down.

`GOPHER_HANDLERS=tests.hooks.sentry_handlers`.
"""

import json
import os
import signal

import sentry_sdk
from sentry_sdk.transport import Transport

from gopher import Job, Retry, handler, middleware
from gopher.integrations.sentry import SentryMiddleware


class Written(Transport):
    """Writes each event as a line."""

    def capture_envelope(self, envelope) -> None:
        for item in envelope.items:
            with open(os.environ["NOTES"], "a") as notes:
                notes.write(json.dumps(item.payload.json, default=str) + "\n")


sentry_sdk.init(transport=Written, dsn="http://key@127.0.0.1:9/1", release="shop@7", shutdown_timeout=0)
middleware.add(SentryMiddleware(report=os.environ["REPORT"]))


@handler("pay")
def pay(job: Job, payload: dict) -> None:
    amount = payload["amount"]
    sentry_sdk.add_breadcrumb(message=f"paying {amount}")
    raise LookupError(f"no account for {amount}")


@handler("again")
def again(job: Job, payload: dict) -> None:
    raise Retry(after=0.01)


@handler("says")
async def says(job: Job, payload: dict) -> str:
    sentry_sdk.capture_message("half way")
    return "done"


@handler("dies")
def dies(job: Job, payload: dict) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@handler("pid")
def pid(job: Job, payload: dict) -> int:
    return os.getpid()
