"""The API answers as its document says, to whatever that allows and forbids: cases made by schemathesis."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    positive_data_acceptance,
    response_schema_conformance,
    unsupported_method,
)

from tests.app.conftest import GENERATED_CASES, IS_FUZZ, running_api
from tests.app.document import document

pytestmark = [] if IS_FUZZ else [pytest.mark.deep]
#: Such as `GET /health`.
OPERATIONS = [f"{method.upper()} {path}" for path, each in document()["paths"].items() for method in each]

#: 413: an array that is too long is a body that is too large, sooner or later.
REFUSALS = [*"400 401 403 404 405 406 409 413 415 422 428 429".split(), "5xx"]
CONFIG = {
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
    # Some thousand cases that walk along the edges of every type: not each time.
    "phases": {"coverage": {"enabled": IS_FUZZ}},
}
api_schema = schemathesis.openapi.from_dict(document(), config=schemathesis.Config.from_dict(CONFIG))


@pytest.fixture(scope="module")
def asked(folder, redis_url):
    """An API of its own: whatever is done to it, nobody else sees it."""
    # With a key from the start: once a case has created one, the rest would be refused.
    keys = {"GOPHER_API_KEYS": f"cases:{KEY}:admin"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE="generated", WEB_CONCURRENCY="1", **keys) as api:
        yield api
    if IS_FUZZ:
        assert made[0] >= GENERATED_CASES, f"{made[0]} cases were made"


KEY = "a-key-for-all-cases"
#: How many cases were.
made = [0]
#: Fields with rules that a schema can't state: about other fields, the present time, what there is, or a grammar.
BEYOND = re.compile(
    r"(/jobs/\d+|/on_\w+)?/(execute_at|delay|expires_at|expires_in|retention|retry_for|timeout|unique_for|after.*|metadata|"
    r"payload.*|recurring.*|cron_expression|timezone|cursor|window|within|overlap|rate|burst|canary|group|file|files/.*|url|"
    r"description|created_after|created_before|name)"
)
#: How such a rule about two fields is told, whichever they are.
ABOUT_OTHERS = ("can't be given together with ", "is required, or ")


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
        details = problem["details"]
        # To a schema 3.0 is an integer, two headers may come together, and a part of a form needs no file name.
        said = ("If-None-Match:", "is text, not a file", *ABOUT_OTHERS)
        if not details.endswith("got `float`") and not details.startswith(said):
            assert BEYOND.fullmatch(problem.get("field", "")), problem


def check(case, asked):
    made[0] += 1
    hasten(case)
    # The API answers 503 if the server does not within its time, which may be for want of a processor.
    for _ in range(5):
        answer = case.call(base_url=str(asked.base_url), headers={"X-API-Key": KEY}, timeout=60)
        if answer.status_code != 503:
            break
    if answer.status_code == 414:
        # gunicorn's own, of a request line that is too long: the API has not seen it.
        return
    excluded = [positive_data_acceptance, *(METHODS if case.path in ALSO_AN_ID else ())]
    if case.path == "/judoscale/report":
        # schemathesis rewrites `prefixItems` to what is no schema, and then complains of it.
        excluded.append(response_schema_conformance)
    case.validate_response(
        answer,
        excluded_checks=excluded,
        additional_checks=[what_the_document_allows_is_accepted],
    )


def answered_as_documented(label):
    """Return the test of an operation such as `GET /health`."""

    # The same cases each time, unless many are made.
    @api_schema.include(name=label).parametrize()
    @settings(
        max_examples=max(GENERATED_CASES // len(OPERATIONS), 3),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not IS_FUZZ,
    )
    def test(case, asked):
        check(case, asked)

    return test


# By name, since schemathesis gives all operations of one test the same id, of which pytest-xdist runs one.
globals().update(
    {
        f"test_{re.sub(r'[^a-z0-9]+', '_', label.lower()).strip('_')}_is_answered_as_the_document_says": (
            answered_as_documented(label)
        )
        for label in OPERATIONS
    }
)
