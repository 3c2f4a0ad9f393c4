"""Exceptions as text, whatever they are."""

import json

import pytest
from gopher.worker.children import failures

from gopher.base.durations import parse_duration


class Nasty(Exception):
    def __str__(self):
        raise SystemExit("no message for you")


class Endless(Exception):
    def __str__(self):
        return str(self)


def caught(error):
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - whatever it is
        return raised


def test_shows_the_message_and_the_class():
    error = caught(ValueError("no such size"))
    assert (failures.error_type(error), failures.message(error)) == ("ValueError", "no such size")


@pytest.mark.parametrize(("error", "word"), [(Nasty(), "SystemExit"), (Endless(), "RecursionError")])
def test_a_message_that_raises_has_a_substitute(error, word):
    assert failures.message(caught(error)) == f"<its message can't be shown: {word}>"


@pytest.mark.parametrize("error", [Nasty(), Endless()])
def test_a_traceback_is_shown_or_said_to_be_impossible(error):
    assert "Nasty" in (text := failures.trace(caught(error))) or "Endless" in text or "can't be shown" in text


def test_a_huge_message_is_cut_and_says_by_how_much():
    text = failures.message(caught(ValueError("x" * 10_000_000)))
    assert text == "x" * failures.MAX_MESSAGE + f" [{10_000_000 - failures.MAX_MESSAGE} more characters]"


def test_a_huge_traceback_keeps_its_end():
    text = failures.trace(caught(ValueError("x" * 100_000 + "the end")))
    assert text.startswith("[...]\n")
    assert text.endswith("the end\n")
    assert len(text) <= failures.MAX_TRACEBACK + 10


def test_a_deep_recursion_is_shown_in_bounds():
    def fall():
        fall()

    try:
        fall()
    except RecursionError as error:
        text = failures.trace(error)
    assert "RecursionError" in text
    assert len(text) <= failures.MAX_TRACEBACK + 10


def test_causes_that_form_a_ring_end():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    text = failures.trace(caught(first))
    assert "first" in text
    assert "second" in text


def test_lone_surrogates_are_escaped():
    assert failures.message(caught(ValueError("a\ud800b"))) == "a\\ud800b"


def test_an_exception_without_a_traceback_is_shown_too():
    assert "ValueError: bare" in failures.trace(ValueError("bare"))


def test_a_long_class_name_is_cut():
    assert len(failures.error_type(type("E" * 1000, (Exception,), {})())) == 64


def by_json(text):
    return json.loads(text)


class Mailer:
    def send(self):
        by_json("{")


def test_the_place_is_the_innermost_frame_of_the_handlers_own_code():
    try:
        Mailer().send()
    except ValueError as error:
        place = failures.place(error, "tests.worker.test_failures")
    line = by_json.__code__.co_firstlineno + 1
    assert place == f"tests/worker/test_failures.py:{line} by_json"


def test_a_method_is_named_with_its_class():
    class Printer:
        def print(self):
            raise ValueError("no paper")

    assert failures.place(caught_in(Printer().print), "elsewhere").endswith("<locals>.Printer.print")


def test_a_handler_that_is_installed_as_a_library_has_a_place_too():
    error = caught_in(json.loads, "{")
    assert failures.place(error, "json").startswith("json/decoder.py:")
    assert "caught_in" in failures.place(error, "elsewhere")


def caught_in(function, *arguments):
    try:
        function(*arguments)
    except ValueError as error:
        return error
    raise AssertionError


def test_our_own_code_is_no_place():
    error = caught_in(parse_duration, "soon")
    assert "caught_in" in failures.place(error, "gopher.handlers.maths")
    assert failures.place(error.with_traceback(error.__traceback__.tb_next), "gopher.handlers.maths") == ""


def test_an_exception_without_a_traceback_has_no_place():
    assert failures.place(ValueError("bare"), "tests") == ""
