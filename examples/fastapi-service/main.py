"""The service: submits reports, and tells of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from jobs import Report

from gopher import Client
from gopher.errors import InvalidJob, JobNotFound
from gopher.registry import load_handlers


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Made in each process of the server, after any fork. It knows the handlers, and checks payloads by them.
    with Client(registry=load_handlers(["jobs"])) as client:
        app.state.gopher = client
        yield


app = FastAPI(lifespan=lifespan)


def of_this_process(request: Request) -> Client:
    return request.app.state.gopher


Gopher = Annotated[Client, Depends(of_this_process)]


@app.post("/reports", status_code=202)
def submit(report: Report, gopher: Gopher) -> dict[str, str]:
    try:
        years = gopher.enqueue_many(
            {"type": "report.year", "payload": {"region": report.region, "year": year}} for year in report.years
        )
    except InvalidJob as error:
        raise HTTPException(422, f"{error.field}: {error.details}") from error
    return {"id": gopher.enqueue("report.total", report, after=years)}


@app.get("/reports/{report_id}")
def show(report_id: str, gopher: Gopher) -> dict[str, Any]:
    try:
        job = gopher.job(report_id).as_dict()
    except JobNotFound as error:
        raise HTTPException(404, str(error)) from error
    return {"status": job["status"], "result": job["result"]}
