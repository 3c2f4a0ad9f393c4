"""Whose the jobs are that handlers submit."""

import msgspec
import pytest

from gopher.jobs.models import JobView
from gopher.jobs.owners import TRUSTED, Submitter
from gopher.jobs.prepare import prepare
from gopher.jobs.submission import Submission


@pytest.fixture
def submitting(start_worker):
    return start_worker(GOPHER_HANDLERS="tests.worker.submitting_handlers", WORKER_CONCURRENCY="1")


def test_what_a_handler_submits_belongs_to_the_owner_of_its_job(client, submitting):
    trusted = client.enqueue("nothing", {}, delay="1h", unique_key="k")
    for submitter in (Submitter("shop", sees_all=False), TRUSTED):
        job = prepare(Submission(type="submits", payload=msgspec.Raw(msgspec.json.encode({"trusted": trusted}))))
        view: JobView = client.wait(client.store([job], submitter=submitter)[0].job_id, 20)
        assert view.status == "completed", bytes(view.error or b"")
        told = msgspec.json.decode(view.result)
        assert (view.owner, told["owner"], told["unique"]) == (submitter.owner, submitter.owner, 1)
        assert len(told["ids"]) == 7
        assert {client.job(each).owner for each in told["ids"]} == {submitter.owner}
        # A unique key is the owner's own: that of the trusted job stands for trusted ones alone.
        assert (trusted in told["ids"]) == (submitter is TRUSTED)
