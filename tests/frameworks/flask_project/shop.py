"""An application that is made by a factory."""

import os

from flask import Flask, g

from gopher.integrations.flask import Gopher

gopher = Gopher()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["GREETING"] = "Hello"
    app.config["GOPHER"] = {
        "REDIS_URL": os.environ["SHOP_REDIS_URL"],
        "NAMESPACE": os.environ["SHOP_NAMESPACE"],
        "HANDLERS": ["shop_jobs"],
        "WORKER_CONCURRENCY": 1,
    }
    gopher.init_app(app)

    @app.post("/greet/<name>")
    def greet(name: str) -> dict:
        return {"job": gopher.enqueue("greet", {"name": name})}

    @app.teardown_appcontext
    def note(error: BaseException | None) -> None:
        if "name" in g:
            with open(os.environ["SHOP_NOTES"], "a") as notes:
                notes.write(f"{g.name} {type(error).__name__}\n")

    return app
