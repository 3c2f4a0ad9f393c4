"""Handlers whose import takes as long as a test wants: until the file that HOLD names is gone."""

import os
import time
from pathlib import Path

from gopher import handler

_hold = Path(os.environ.get("HOLD", "/nowhere"))
if _hold.exists():
    Path(f"{_hold}.{os.getpid()}").touch()
while _hold.exists():
    time.sleep(0.02)


@handler("slow")
def slow(job, payload: dict) -> None: ...
