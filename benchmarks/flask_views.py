"""The baseline of the API: a view that reads a body and does one LPUSH, under the same gunicorn."""

import os

from flask import Flask, Response, request
from redis import Redis

app = Flask(__name__)
server = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379"))


@app.post("/empty")
def empty() -> Response:
    server.lpush("bodies", request.get_data())
    return Response(b'{"job_id": "1"}', 201, mimetype="application/json")
