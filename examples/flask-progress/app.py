"""A page with progress bars, each of a job."""

import os
from typing import Any

from flask import Flask, render_template, request, url_for

from gopher.errors import JobNotFound
from gopher.integrations.flask import Gopher

gopher = Gopher()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SECONDS_PER_STEP"] = float(os.environ.get("SECONDS_PER_STEP", "0.5"))
    app.config["GOPHER"] = {"HANDLERS": ["jobs"]}
    gopher.init_app(app)

    @app.get("/")
    def index() -> str:
        return render_template("index.html")

    @app.post("/tasks")
    def start() -> tuple[dict[str, str], int]:
        job_id = gopher.enqueue("long_task", {"steps": request.args.get("steps", 40, int)})
        return {"status": url_for("status", job_id=job_id)}, 202

    @app.get("/tasks/<job_id>")
    def status(job_id: str) -> dict[str, Any]:
        job = gopher.client.job(job_id).as_dict()
        return {"state": job["status"], "progress": job["progress"], "result": job["result"]}

    @app.errorhandler(JobNotFound)
    def not_found(error: JobNotFound) -> tuple[dict[str, str], int]:
        # Also once its result has expired: GOPHER_RESULT_TTL, by default an hour.
        return {"error": str(error)}, 404

    return app
