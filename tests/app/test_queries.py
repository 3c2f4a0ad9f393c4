"""Queries: what isn't understood must not select everything."""

import re

import pytest

from tests.app.document import document


def parameters_that_are_no_text():
    for path, methods in document()["paths"].items():
        for method, declared in methods.items():
            for each in declared.get("parameters", ()):
                if each["in"] == "query" and each["schema"].get("type") in ("integer", "number", "boolean"):
                    yield method.upper(), re.sub("{.*?}", "nightly", path), each["name"]


@pytest.mark.parametrize("word", ["null", "NULL", ""])
@pytest.mark.parametrize(("method", "path", "name"), [*parameters_that_are_no_text()])
def test_the_word_null_is_no_value_of_a_parameter(api, method, path, name, word):
    answer = api.request(method, path, params={name: word})
    assert (answer.status_code, answer.json()["field"]) == (400, f"/{name}")
