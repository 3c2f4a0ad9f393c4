"""The jobs of the application."""

import json
from dataclasses import dataclass

from gopher import Discard, Job, handler, middleware
from gopher.integrations.sqlalchemy import SessionMiddleware

from . import gopher
from .models import Session, User

middleware.add(SessionMiddleware(Session))


@dataclass
class Export:
    user_id: int


@handler("blog.export", timeout="10m")
def export(job: Job, payload: Export) -> dict[str, int | str]:
    """Stores the posts of a user as a file, and sends them by mail."""
    user = Session.get(User, payload.user_id)
    if user is None:
        raise Discard(f"there is no user {payload.user_id}")
    posts = []
    for post in user.posts:
        posts.append({"id": post.id, "body": post.body})
        job.progress(len(posts) / len(user.posts), f"post {post.id}")
    content = json.dumps({"user": user.name, "posts": posts}, indent=2)
    job.attach(content.encode(), name="posts.json")
    attachment = {"name": "posts.json", "content": content, "type": "application/json"}
    mail = {"to": user.email, "subject": "Your posts", "body": "They are attached.", "attachments": [attachment]}
    # Once for each export, however often its job is started.
    return {"posts": len(posts), "mail": gopher.enqueue("email", mail, unique_key=f"mail-{job.id}")}
