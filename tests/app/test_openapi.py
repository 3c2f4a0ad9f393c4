"""The API's document: complete, true and valid, and the page that shows it."""

import re

import pytest
from gopher.app import create_app, openapi, operations
from gopher.app.problems import FAILURES
from jsonschema_rs import meta

from gopher.config.settings import Settings
from gopher.interface.operation import declared_of
from tests.app.conftest import EMAIL
from tests.app.document import document, pointer_to, validator
from tests.core.test_interface import PARTS


def steps_to(value, wanted, place=()):
    """Yield where a document holds a member of that name."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == wanted:
                yield (*place, name), each
            yield from steps_to(each, wanted, (*place, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from steps_to(each, wanted, (*place, index))


def test_is_served_as_it_is_made(api):
    answer = api.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == document()
    assert answer.json()["openapi"] == "3.1.0"


def test_every_route_is_declared_beside_its_view_and_in_the_document():
    app = create_app(Settings())
    undeclared = {
        rule.endpoint for rule in app.url_map.iter_rules() if operations.operation_of(app, rule.endpoint) is None
    }
    assert not undeclared, f"these views have no @operation (app/operations.py): {sorted(undeclared)}"
    for rule in app.url_map.iter_rules():
        for method in set() if operations.operation_of(app, rule.endpoint).is_page else openapi.methods_of(rule):
            assert pointer_to(method, re.sub("<[^>]*>", "x", rule.rule)), f"{method} {rule.rule}"


def test_every_call_of_the_api_is_an_operation_of_the_interface_and_every_operation_is_served():
    declared = [found for kind in PARTS for each in vars(kind).values() if (found := declared_of(each))]
    app = create_app(Settings())
    served = {
        (call.method, call.path): call.operation
        for call in openapi.calls(app)
        if call.path.startswith("/api/v1/") and not call.operation.is_deprecated
    }
    # A second way to cancel.
    assert served.pop(("DELETE", "/api/v1/jobs/{job_id}")).route == "/api/v1/jobs/<job_id>/cancel"
    places = {(each.method, re.sub("<(.*?)>", r"{\1}", each.route)): each for each in declared}
    assert served.keys() == {place for place in places if place != ("GET", "/health")}
    for place, each in served.items():
        assert (each.role, each.codes, each.path) == (places[place].role, places[place].codes, places[place].path)


def test_a_renamed_call_is_marked_as_deprecated():
    marked = {path for path, calls in document()["paths"].items() for each in calls.values() if each.get("deprecated")}
    assert marked == {"/api/v1/dlq/retries", "/api/v1/dlq/retries/{retry_id}/stop"}


def test_every_call_has_a_summary_and_a_unique_name():
    declared = [each for path in document()["paths"].values() for each in path.values()]
    assert all(each["summary"].endswith(".") for each in declared)
    assert len({each["operationId"] for each in declared}) == len(declared)


def test_refers_to_nothing_that_is_not_there():
    for place, target in steps_to(document(), "$ref"):
        found = document()
        for step in target.removeprefix("#/").split("/"):
            assert step in found, f"{place} refers to {target}"
            found = found[step]


def test_every_schema_is_one():
    for schema in document()["components"]["schemas"].values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_code_of_an_error_is_declared_and_every_declared_one_there_is():
    named = {code for place, codes in steps_to(document()["paths"], "enum") if place[-2] == "code" for code in codes}
    # A 405 is not of a call that there is.
    assert named == set(FAILURES) - {"method_not_allowed"}


def test_every_example_fits_its_schema():
    checked = 0
    for place, example in steps_to(document()["paths"], "example"):
        if place[-3] != "content":
            continue
        errors = list(validator(("paths", *place[:-1], "schema")).iter_errors(example))
        assert not errors, f"{place}: {errors[0].message}"
        checked += 1
    for place, examples in steps_to(document()["paths"], "examples"):
        for example in examples.values() if place[2] == "requestBody" and place[-2] == "application/json" else ():
            errors = list(validator((*("paths", *place[:-1]), "schema")).iter_errors(example["value"]))
            assert not errors, f"{place}: {errors[0].message}"
            checked += 1
    assert checked > 50
    for name, example in document()["components"]["examples"].items():
        assert validator(("components", "schemas", "Problem")).is_valid(example["value"]), name


def test_no_value_of_an_enumeration_is_listed_twice():
    enumerations = list(steps_to(document(), "enum"))
    assert len(enumerations) > 20
    assert {place: values for place, values in enumerations if len(set(values)) < len(values)} == {}


def test_the_example_of_every_body_is_accepted(api, client):
    """Those of submissions, as a dry run: so each job type's own is, too."""
    for each in document()["components"]["schemas"]["Submission"]["oneOf"]:
        name = each["$ref"].rpartition(".")[2]
        described = next(one for one in api.get("/api/v1/jobs/types").json()["types"] if one["name"] == name)
        body = re.search(r"-d '(.*)'$", described["example"])[1]
        answer = api.post("/api/v1/jobs?dry_run=1", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text


def test_a_payload_is_described_by_its_handlers_own_type():
    email = validator(("components", "schemas", "Submission"))
    assert email.is_valid({"type": "email", "payload": EMAIL})
    assert not email.is_valid({"type": "email", "payload": {**EMAIL, "colour": "red"}})
    assert not email.is_valid({"type": "nowhere", "payload": EMAIL})


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("limit=0", "/limit", "is '0': expected `int` >= 1"),
        ("limit=many", "/limit", "is 'many': expected `int`"),
        ("limit=1&limit=2", "/limit", "more than once"),
        ("statsu=failed", "/statsu", "did you mean 'status'? supported: status, type, queue, tenant, tag"),
    ],
)
def test_a_query_that_can_not_be_read_is_refused_with_the_remedy(api, query, field, says):
    answer = api.get(f"/api/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid_job", field)
    assert says in answer.json()["details"]


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script(api):
    page = api.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|//", page.text.replace("<!doctype", ""))
    for place in re.findall(r'(?:src|href)="((?!data:)[^"]+)"', page.text):
        assert place.startswith("/"), place
        assert api.get(place).status_code == 200, place


def test_the_page_sends_its_own_files_only(api):
    for name in ("docs.html", "..%2f..%2f__init__.py", "%2e%2e/docs.py", "nothing.js"):
        assert api.get(f"/docs/{name}").status_code == 404
