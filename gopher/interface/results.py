"""Types of results that programs need to read only: `operation` resolves the annotations of the interface with them."""

from gopher.jobs.dry_run import DryRun
from gopher.jobs.inputs import JobInput
from gopher.jobs.stats import Stats
from gopher.reads.health import Health
from gopher.reads.timeline import Timeline
from gopher.reads.type_stats import TypeStats

__all__ = ["DryRun", "Health", "JobInput", "Stats", "Timeline", "TypeStats"]
