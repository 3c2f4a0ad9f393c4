"""Webhooks: how events become deliveries, and how these are sent."""
