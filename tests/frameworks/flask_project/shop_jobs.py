"""Handlers that need an application context."""

import asyncio

from flask import current_app, g
from shop import gopher

from gopher import Job, handler


@handler("greet", max_retries=0)
def greet(job: Job, payload: dict[str, str]) -> str:
    left = g.get("name")
    g.name = payload["name"]
    if payload["name"] == "nobody":
        raise LookupError(payload["name"])
    return f"{current_app.config['GREETING']} {g.name}, not {left}"


@handler("agreet", max_retries=0)
async def agreet(job: Job, payload: dict[str, str]) -> str:
    await asyncio.sleep(0)
    return f"{current_app.config['GREETING']} {payload['name']}"


@handler("greet_all", max_retries=0)
def greet_all(job: Job, payload: dict[str, list[str]]) -> list[str]:
    return [gopher.enqueue("greet", {"name": name}) for name in payload["names"]]
