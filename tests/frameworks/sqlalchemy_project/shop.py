"""Handlers that use SQLAlchemy's session, and an engine that was used before the fork. PostgreSQL."""

import os
import time

from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

from gopher import Job, handler, middleware
from gopher.integrations.sqlalchemy import SessionMiddleware

engine = create_engine(os.environ["SHOP_DATABASE_URL"], pool_pre_ping=True)
Session = scoped_session(sessionmaker(engine))


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    # A commit fails where it is not unique: the check is deferred until then.
    customer: Mapped[str] = mapped_column()


with engine.begin() as connection:
    Base.metadata.create_all(connection)
    constraint = "ALTER TABLE orders ADD CONSTRAINT once UNIQUE (customer) DEFERRABLE INITIALLY DEFERRED"
    if not connection.execute(text("SELECT 1 FROM pg_constraint WHERE conname = 'once'")).all():
        connection.execute(text(constraint))
# Left in the pool, and in the session of this thread.
Session.execute(text("SELECT 1"))

middleware.add(SessionMiddleware(Session))


@handler("order", max_retries=0)
def order(job: Job, payload: dict[str, str]) -> str:
    Session.add(Order(customer=payload["customer"]))
    if payload["customer"].startswith("fails"):
        Session.flush()
        raise ValueError("after the flush")
    return "ordered"


@handler("flush", max_retries=0)
def flush(job: Job, payload: dict) -> None:
    Session.add(Order(id=1, customer="first"))
    Session.add(Order(id=1, customer="second"))
    Session.flush()


# The database may be away for long on a busy machine.
@handler("count", max_retries=100, backoff="constant")
def count(job: Job, payload: dict[str, float]) -> list[int]:
    asked = text("SELECT pg_backend_pid()")
    before = Session.execute(asked).scalar_one()
    time.sleep(payload["seconds"])
    assert Session.execute(asked).scalar_one() == before
    return [os.getpid(), before]
