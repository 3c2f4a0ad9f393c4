"""Requests to URLs that others have chosen: pictures that are fetched, and webhooks that are sent."""
