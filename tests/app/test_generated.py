"""The API answers as its document says, to whatever the document's types allow and forbid: cases made by schemathesis.

GOPHER_TEST_GENERATED is about how many cases are made (`make fuzz`: 5,000).
"""

import os
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance, unsupported_method

from tests.app.conftest import running_api
from tests.app.document import document

CASES = int(os.environ.get("GOPHER_TEST_GENERATED", "400"))
CALLS = sum(len(path) for path in document()["paths"].values())

#: 413: an array that is too long is a body that is too large, sooner or later.
REFUSALS = [*"400 401 403 404 405 406 409 413 415 422 428 429".split(), "5xx"]
CONFIG = {
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
    # Some thousand cases that walk along the edges of every type: not each time.
    "phases": {"coverage": {"enabled": CASES >= 5000}},
}
api_schema = schemathesis.openapi.from_dict(document(), config=schemathesis.Config.from_dict(CONFIG))


@pytest.fixture(scope="module")
def asked(folder, redis_url):
    """An API of its own: whatever is done to it, nobody else sees it."""
    with running_api(folder, redis_url, GOPHER_NAMESPACE="generated", WEB_CONCURRENCY="1") as api:
        yield api
    if CASES >= 5000:
        assert made[0] >= CASES, f"{made[0]} cases were made"


#: How many cases were.
made = [0]
#: Fields with rules that a schema can't state: about other fields, the present time, what there is, or a grammar.
BEYOND = re.compile(
    r"(/jobs/\d+)?/(execute_at|delay|expires_at|expires_in|retention|retry_for|timeout|unique_for|after.*|metadata|payload.*|"
    r"recurring.*|cron_expression|timezone|cursor|window|rate|burst|canary|group)"
)


#: A path such as /dlq/groups also fits /dlq/{job_id}: its DELETE is allowed, and finds nothing.
ALSO_AN_ID = {"/api/v1/dlq/groups", "/api/v1/dlq/redrives", "/api/v1/dlq/retries", "/api/v1/dlq/retry-all"}
ALSO_AN_ID |= {"/api/v1/jobs/batch", "/api/v1/jobs/types"}
METHODS = [allow_header_conformance, unsupported_method]


def hasten(case):
    """Wait for no job as long as a case may say: nobody runs them here."""
    wait = str((case.query or {}).get("wait"))
    if re.fullmatch(r"[0-9.]+", wait) and wait.count(".") < 2 and 0.1 < float(wait) <= 25:
        case.query["wait"] = 0.1
    if "wait" in str((case.headers or {}).get("Prefer", "")):
        case.headers["Prefer"] = "wait=0"


def what_the_document_allows_is_accepted(context, response, case):
    """In place of schemathesis' own check, which knows of no rules beyond the schema."""
    if case.meta is not None and case.meta.generation.mode.is_positive and response.status_code == 400:
        problem = response.json()
        # To a schema 3.0 is an integer.
        if not problem["details"].endswith("got `float`"):
            assert BEYOND.fullmatch(problem.get("field", "")), problem


@api_schema.parametrize()
@settings(max_examples=max(CASES // CALLS, 3), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_case_is_answered_as_the_document_says(case, asked):
    made[0] += 1
    hasten(case)
    answer = case.call(base_url=str(asked.base_url))
    if answer.status_code == 414:
        # gunicorn's own, of a request line that is too long: the API has not seen it.
        return
    case.validate_response(
        answer,
        excluded_checks=[positive_data_acceptance, *METHODS] if case.path in ALSO_AN_ID else [positive_data_acceptance],
        additional_checks=[what_the_document_allows_is_accepted],
    )
