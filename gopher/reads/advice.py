"""What is said in the same words wherever it is noticed: by /health, the CLI, the dashboard and the report."""

NO_SCHEDULER = "no scheduler is alive: delayed jobs and retries wait, and schedules do not fire"
START_SCHEDULER = "start one with `gopherctl scheduler`"
