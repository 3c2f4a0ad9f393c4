"""Simulates hours of jobs whose processes follow the answer of /api/v1/capacity: docs/autoscaling.md."""
