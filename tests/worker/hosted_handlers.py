"""A module that configures Python's logging itself."""

import logging
import sys
from typing import Any

from gopher import Job, handler

logging.basicConfig(format="HOST %(levelname)s %(name)s %(message)s", level=logging.INFO)
log = logging.getLogger("shop")


@handler("hosted", max_retries=0)
def hosted(job: Job, payload: dict[str, Any]) -> None:
    log.info("an order of %d", 7)
    sys.stdout.write("printed\n")
