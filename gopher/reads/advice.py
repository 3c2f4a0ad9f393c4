"""Advice that /health, the CLI, the dashboard and the report have in common."""

NO_SCHEDULER = "no scheduler is running: scheduled jobs, retries and schedules will not start"
START_SCHEDULER = "start one with `gopherctl scheduler`"
