"""The long work of the application."""

import random
import time
from dataclasses import dataclass

from flask import current_app

from gopher import Job, handler

VERBS = ["Starting up", "Booting", "Repairing", "Loading", "Checking"]
OBJECTS = ["solar array", "particle reshaper", "cosmic ray", "orbiter", "bit"]


@dataclass
class LongTask:
    steps: int = 40


@handler("long_task", timeout="10m", max_retries=0)
def long_task(job: Job, payload: LongTask) -> dict[str, int]:
    """Does many small steps, and says which one it is at."""
    for step in range(payload.steps):
        job.progress(step / payload.steps, f"{random.choice(VERBS)} the {random.choice(OBJECTS)}")
        time.sleep(current_app.config["SECONDS_PER_STEP"])
    return {"steps": payload.steps}
