"""The application: users, their posts, and exports of them."""

from typing import Any

from flask import Flask, Response, abort, request, url_for

from gopher.errors import JobNotFound
from gopher.integrations.flask import Gopher

from .models import Base, Post, Session, User, engine

gopher = Gopher()


def create_app() -> Flask:
    app = Flask(__name__)
    # `email` is a handler that Gopher ships.
    app.config["GOPHER"] = {"HANDLERS": ["blog.jobs", "gopher.handlers.mail"]}
    gopher.init_app(app)
    app.teardown_appcontext(lambda _error: Session.remove())
    app.cli.command("create-tables")(lambda: Base.metadata.create_all(engine))
    app.register_error_handler(JobNotFound, lambda error: ({"error": str(error)}, 404))

    @app.post("/users/<name>/posts")
    def write(name: str) -> tuple[dict[str, int], int]:
        user = Session.query(User).filter_by(name=name).first() or User(name=name, email=f"{name}@example.com")
        post = Post(user=user, body=request.get_data(as_text=True))
        Session.add(post)
        Session.commit()
        return {"id": post.id}, 201

    @app.post("/users/<name>/exports")
    def export(name: str) -> tuple[dict[str, str], int]:
        user = Session.query(User).filter_by(name=name).first() or abort(404)
        job_id = gopher.enqueue("blog.export", {"user_id": user.id}, unique_key=f"export-{user.id}")
        return {"job_id": job_id, "status": url_for("exported", job_id=job_id)}, 202

    @app.get("/exports/<job_id>")
    def exported(job_id: str) -> dict[str, Any]:
        job = gopher.client.job(job_id).as_dict()
        return {"state": job["status"], "progress": job["progress"], "result": job["result"]}

    @app.get("/exports/<job_id>/posts.json")
    def download(job_id: str) -> Response:
        return Response(gopher.client.files.read(job_id, "posts.json"), content_type="application/json")

    return app
