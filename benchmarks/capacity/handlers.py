"""The jobs of the real run: each takes as long as it is told."""

import time
from typing import Any

from gopher import Job, handler


def _sleep(job: Job, payload: Any) -> None:
    time.sleep(payload["seconds"])


for _name in ("thumbnail", "email", "video", "report"):
    handler(_name, timeout="10m")(_sleep)
