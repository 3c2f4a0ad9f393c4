import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from gopher.worker.children.child import throttled_by, what_becomes

from gopher.errors import ConfigurationError, InvalidJob, RateLimited, Retry, RoleNeeded, SoftTimeout, UnknownType
from gopher.jobs.backoff import Backoff
from gopher.jobs.declared_schedules import Schedule
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import Job
from tests.worker.nursery import Raised


class Size(msgspec.Struct, forbid_unknown_fields=True):
    width: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    height: int = 100


class Resize(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    sizes: list[Size] = []


@dataclass
class Letter:
    to: str


class Row(TypedDict):
    key: str


@pytest.fixture
def handlers() -> Registry:
    return Registry()


def test_takes_the_functions_name_and_its_first_line_as_description(handlers):
    @handler(into=handlers)
    def resize(job: Job, payload: Resize) -> None:
        """Resizes a picture.

        More is not shown.
        """

    assert handlers.require("resize").description == "Resizes a picture."
    assert handlers.require("resize").function is resize


def test_the_decorated_function_stays_a_plain_function(handlers):
    @handler("double", into=handlers)
    def double(job: Job, payload: dict) -> int:
        return payload["n"] * 2

    assert double(Job(id="x", type="double"), {"n": 4}) == 8


def test_reads_the_options_of_a_job_type(handlers):
    @handler("mail", timeout="1m", max_retries=7, backoff="linear", permanent=(ValueError,), into=handlers)
    def mail(job: Job, payload: dict) -> None: ...

    found = handlers.require("mail")
    assert (found.timeout, found.max_retries, found.backoff) == (60.0, 7, Backoff("linear"))
    assert found.permanent == (ValueError,)


def test_options_that_a_handler_omits_come_from_the_settings(handlers):
    @handler("plain", into=handlers)
    def plain(job: Job, payload: dict) -> None: ...

    assert handlers.require("plain").timeout is None
    assert handlers.require("plain").max_retries is None


@pytest.mark.parametrize(
    ("kind", "payload", "value"),
    [
        (Resize, b'{"url": "a", "sizes": [{"width": 5}]}', Resize("a", [Size(5, 100)])),
        (Letter, b'{"to": "a"}', Letter("a")),
        (Row, b'{"key": "a"}', {"key": "a"}),
        (dict, b'{"any": [1, null]}', {"any": [1, None]}),
    ],
)
def test_gives_the_payload_as_the_handlers_own_type(handlers, kind, payload, value):
    def function(job, payload): ...

    function.__annotations__["payload"] = kind
    handler("typed", into=handlers)(function)
    assert handlers.require("typed").decode(payload) == value


def test_a_payload_without_annotation_is_a_json_object(handlers):
    @handler("free", into=handlers)
    def free(job, payload): ...

    assert handlers.require("free").decode(b'{"a": 1}') == {"a": 1}
    with pytest.raises(InvalidJob):
        handlers.require("free").decode(b"[1]")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"{}", "/payload/url"),
        (b'{"url": 5}', "/payload/url"),
        (b'{"url": "a", "sizes": [{"width": 1}, {"width": 0}]}', "/payload/sizes/1/width"),
        (b'{"url": "a", "sizes": [{"width": 1, "depth": 1}]}', "/payload/sizes/0/depth"),
        (b"not json", "/payload"),
    ],
)
def test_names_the_field_that_is_invalid(handlers, payload, field):
    @handler("resize", into=handlers)
    def resize(job: Job, payload: Resize) -> None: ...

    with pytest.raises(InvalidJob) as caught:
        handlers.require("resize").decode(payload)
    assert caught.value.field == field
    assert caught.value.details


def test_describes_the_payload_as_a_json_schema(handlers):
    @handler("resize", into=handlers)
    def resize(job: Job, payload: Resize) -> None: ...

    schema = handlers.require("resize").payload_schema()
    assert schema["$ref"] == "#/$defs/Resize"
    assert schema["$defs"]["Size"]["properties"]["width"] == {"type": "integer", "minimum": 1, "maximum": 10_000}


def test_an_unknown_type_is_refused_with_the_known_ones(handlers):
    for name in ("b", "a"):
        handler(name, into=handlers)(lambda job, payload: None)
    with pytest.raises(UnknownType, match="registered types: a, b") as caught:
        handlers.require("c")
    assert caught.value.field == "/type"
    assert handlers.get("c") is None


def test_two_functions_can_not_share_a_type(handlers):
    @handler("same", into=handlers)
    def first(job: Job, payload: dict) -> None: ...

    with pytest.raises(ConfigurationError, match=r"two handlers: .*first \(.*test_handlers.py:\d+\) and .*second \("):

        @handler("same", into=handlers)
        def second(job: Job, payload: dict) -> None: ...


def test_a_module_loaded_twice_registers_its_handler_once(handlers):
    def same(job: Job, payload: dict) -> None: ...

    handler("same", into=handlers)(same)
    handler("same", into=handlers)(same)
    assert len(handlers) == 1


def test_two_closures_of_one_factory_can_not_share_a_type(handlers):
    def make(word):
        @handler("same", into=handlers)
        def says(job: Job, payload: dict) -> str:
            return word

    make("one")
    with pytest.raises(ConfigurationError, match=r"'same' has two handlers: .*says .* and .*says .*Rename"):
        make("two")


#: Modules of a shop, and what a program says that loads handlers of it.
CLASHES = {
    "one name in two modules": (
        {
            "one": "@handler('send')\ndef send(job, payload): pass",
            "two": "@handler('send')\ndef send(job, payload): pass",
        },
        ["'send' has two handlers: one.send (", "one.py:2) and two.send (", "two.py:2)"],
    ),
    "one name twice in a module": (
        {"one": "@handler('send')\ndef send(job, payload): pass\n@handler('send')\ndef send(job, payload): pass"},
        ["'send' has two handlers", "one.py:2) and one.send (", "one.py:4)"],
    ),
    "a generator": (
        {"one": "@handler('send')\ndef send(job, payload): yield"},
        ["one.send (", "is a generator", "return the result instead"],
    ),
    "a bad cron expression": (
        {"one": "@handler('send', cron='61 * * * *')\ndef send(job, payload): pass"},
        ["one.send (", "one.py:2)", "cron: is '61 * * * *'"],
    ),
    "a module that is not there": ({"one": "import nowhere"}, ["'one' can't be imported: ModuleNotFoundError"]),
    "a module that fails": (
        {"one": "def setting():\n    raise KeyError('SHOP')\nsetting()"},
        ["'one' can't be imported: KeyError: 'SHOP'", 'one.py", line 4, in <module>', 'one.py", line 3, in setting'],
    ),
    "a module that exits": ({"one": "import sys; sys.exit(0)"}, ["'one' can't be imported: it calls sys.exit(0)"]),
    "a module that is no Python": ({"one": "def send(:"}, ["SyntaxError", 'one.py", line 2']),
    "no parentheses": ({"one": "@handler\ndef send(job, payload): pass"}, ["one.send (", "with parentheses"]),
}


def write_modules(folder, modules):
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(f"from gopher import handler\n{source}\n")


PROGRAMS = ("gopher.worker", "gopher.scheduler", "gopher.app", "gopher.cli")
TOLD = [
    *((program, clash) for program in PROGRAMS for clash in ("one name in two modules", "a module that exits")),
    *((program, "a bad cron expression") for program in PROGRAMS),
    *(("gopher.cli", clash) for clash in CLASHES),
]


@pytest.mark.parametrize(("program", "clash"), list(dict.fromkeys(TOLD)))
def test_every_program_says_in_a_sentence_why_a_declaration_is_refused(tmp_path, redis_url, namespace, program, clash):
    modules, words = CLASHES[clash]
    write_modules(tmp_path, modules)
    arguments = ["submit", "--type", "send"] if program == "gopher.cli" else []
    environ = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_HANDLERS": ",".join(modules)}
    environ |= {"PYTHONPATH": str(tmp_path), "SERVER_HOST": "127.0.0.1", "SERVER_PORT": "0", "WEB_CONCURRENCY": "1"}
    told = tmp_path / "told"
    assert Raised(program, {**os.environ, **environ}, tmp_path, told, arguments=arguments).wait(60) != 0
    said = told.read_text()
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_a_module_that_is_reloaded_or_runs_as_a_script_too_declares_its_handlers_again(tmp_path):
    write_modules(tmp_path, {"shop": "@handler('send')\ndef send(job, payload): pass"})
    (tmp_path / "tries.py").write_text(
        "import importlib, pathlib, runpy, sys, shop\n"
        "pathlib.Path('shop.py').write_text('\\n\\n' + pathlib.Path('shop.py').read_text())\n"
        "importlib.reload(shop)\n"
        "del sys.modules['shop']\n"
        "import shop\n"
        "runpy.run_path('shop.py', run_name='__main__')\n"
        "from gopher import handler\n"
        "handler('send')(shop.send)\n"
        "handler('send')(shop.send)\n"
        "from gopher.registry import registry\n"
        "assert registry.require('send').function is shop.send\n"
    )
    subprocess.run([sys.executable, "tries.py"], cwd=tmp_path, check=True, timeout=30)


async def asynchronous(job, payload): ...


async def asynchronous_generator(job, payload):
    yield 1


def generator(job, payload):
    yield 1


class Asynchronous:
    async def __call__(self, job, payload): ...

    async def method(self, job, payload): ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (asynchronous_generator, "is an async generator"),
        (generator, "is a generator"),
        (functools.partial(generator), "is a generator"),
        (functools.partial(functools.partial(asynchronous_generator)), "is an async generator"),
        (lambda job, payload: (yield), "is a generator"),
        (Asynchronous, "Asynchronous: is a class"),
        (5, "decorates a function, and 5 is not one"),
    ],
)
def test_refuses_what_would_do_nothing_when_it_is_called(handlers, function, words):
    with pytest.raises(ConfigurationError, match=words):
        handler("never", into=handlers)(function)
    assert len(handlers) == 0


@pytest.mark.parametrize(
    "function", [asynchronous, functools.partial(asynchronous), Asynchronous(), Asynchronous().method]
)
def test_takes_coroutines(handlers, function):
    handler("later", into=handlers)(function)
    assert len(handlers) == 1


def test_refuses_a_decorator_without_parentheses(handlers):
    with pytest.raises(ConfigurationError, match=r"send \(.*\): write @handler\(\), with parentheses"):

        @handler
        def send(job: Job, payload: dict) -> None: ...

    with pytest.raises(ConfigurationError, match=r"@handler\(5\): the job type must be a string"):
        handler(5)


def double(factor: int, job: Job, payload: Resize) -> int:
    """Doubles."""
    return factor


class Doubler:
    def __call__(self, job: Job, payload: Resize) -> int:
        """Doubles."""
        return 2


@pytest.mark.parametrize("function", [functools.partial(double, 2), Doubler(), Doubler().__call__])
def test_takes_a_partial_an_object_and_a_method_that_are_given_a_name(handlers, function):
    handler("double", into=handlers)(function)
    found = handlers.require("double")
    assert (found.description, found.payload_type) == ("Doubles.", Resize)
    assert found.function(Job(id="x", type="double"), Resize("a")) == 2


@pytest.mark.parametrize("function", [functools.partial(double, 2), Doubler(), lambda job, payload: None])
def test_asks_for_a_name_where_the_function_has_none(handlers, function):
    with pytest.raises(ConfigurationError, match="give it one"):
        handler(into=handlers)(function)


@pytest.mark.parametrize("name", ["Upper", "a b", "a:b", "{a}", "a" * 65, "-a", "ä"])
def test_refuses_a_name_that_can_not_be_part_of_a_key(handlers, name):
    with pytest.raises(ConfigurationError, match="must match"):
        handler(name, into=handlers)(lambda job, payload: None)


@pytest.mark.parametrize("function", [lambda job: None, lambda job, payload, more: None, lambda: None])
def test_refuses_a_function_that_does_not_take_job_and_payload(handlers, function):
    with pytest.raises(ConfigurationError, match=r"exactly two parameters, \(job, payload\)"):
        handler("bad", into=handlers)(function)


@pytest.mark.parametrize("needs", ["submit", "read", "admin"])
def test_a_type_shows_which_role_it_needs(handlers, needs):
    handler("a", needs=needs, into=handlers)(lambda job, payload: None)
    handler("b", into=handlers)(lambda job, payload: None)
    assert [each.needs for each in handlers] == [needs, "submit"]


@pytest.mark.parametrize("needs", ["", "Admin", "root", None, ["admin"]])
def test_refuses_a_role_that_there_is_not(handlers, needs):
    with pytest.raises(ConfigurationError, match="needs=.*must be one of submit, read, admin"):
        handler("bad", needs=needs, into=handlers)(lambda job, payload: None)
    assert len(handlers) == 0


def test_a_guarded_registry_asks_before_it_hands_out_a_handler(handlers):
    handler("a", needs="admin", into=handlers)(lambda job, payload: None)

    def admit(asked):
        raise RoleNeeded(f"not {asked.name}", "/type")

    guarded = handlers.guarded(admit)
    with pytest.raises(RoleNeeded, match="not a"):
        guarded.require("a")
    assert [each.name for each in guarded] == ["a"]
    assert handlers.require("a").needs == "admin"


def test_lists_handlers_by_name(handlers):
    for name in ("c", "a", "b"):
        handler(name, into=handlers)(lambda job, payload: None)
    assert [each.name for each in handlers] == ["a", "b", "c"]


def test_loads_the_handlers_of_named_modules(tmp_path):
    (tmp_path / "shop_jobs.py").write_text(
        "from gopher import handler\n@handler('greet')\ndef greet(job, payload):\n    'Greets.'\n"
    )
    program = "from gopher.registry import load_handlers; print([h.name for h in load_handlers(['shop_jobs'])])"
    answer = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['greet']"


def test_a_handler_module_does_not_load_the_servers_client():
    program = "import gopher, sys; gopher.handler; gopher.Job; print([m for m in sys.modules if m.startswith('redis')])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_any_json_value_survives_a_free_payload(handlers):
    @handler("free", into=handlers)
    def free(job: Job, payload: dict[str, Any]) -> None: ...

    assert handlers.require("free").decode(b'{"n": 9007199254740993, "l": []}') == {"n": 9007199254740993, "l": []}


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("no"), ZeroDivisionError("no"), RuntimeError("no")])
def test_whatever_a_payloads_own_check_raises_is_an_invalid_payload(error: Exception) -> None:
    class Payload(msgspec.Struct):
        number: int

        def __post_init__(self) -> None:
            raise error

    registry = Registry()

    @handler("checked", into=registry)
    def checked(job: Job, payload: Payload) -> None: ...

    with pytest.raises(InvalidJob, match="no") as refused:
        registry.require("checked").validated(b'{"number":1}')
    assert refused.value.field == "/payload"


@pytest.mark.parametrize(
    ("options", "final"),
    [
        ({}, set()),
        ({"permanent": (OSError,)}, {OSError, ConnectionError}),
        ({"retry_on": (OSError,)}, {ValueError, SoftTimeout, SystemExit}),
        (
            {"retry_on": (OSError, SoftTimeout), "permanent": (ConnectionError,)},
            {ConnectionError, ValueError, SystemExit},
        ),
        ({"retry_on": ()}, {OSError, ConnectionError, ValueError, SoftTimeout, SystemExit}),
    ],
)  # fmt: skip
def test_retry_on_names_the_only_exceptions_that_are_retried(options, final):
    registry = Registry()

    @handler("retried", into=registry, **options)
    def retried(job: Job, payload: dict) -> None: ...

    every = {OSError, ConnectionError, ValueError, SoftTimeout, SystemExit}
    assert {each for each in every if registry.require("retried").is_final(each)} == final
    assert {what_becomes(each("x"), registry.require("retried"))[0] for each in final - {SoftTimeout}} <= {"discard"}
    # What says itself that it is to be retried, is.
    assert what_becomes(Retry("x"), registry.require("retried"))[0] == "retry"


class _Said(RateLimited):
    def __init__(self, **said: object) -> None:
        Exception.__init__(self, "try later")
        vars(self).update(said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"retry_after": 3}, ("rate_limited", 3.0)),
        ({"retry_after": "30", "scope": "nonsense"}, ("rate_limited", 30.0)),
        ({"retry_after": timedelta(minutes=1)}, ("rate_limited", 60.0)),
        *[({"retry_after": each}, ("error", None)) for each in (float("inf"), float("nan"), -1, 10**400, None, "soon")],
        ({}, ("error", None)),
    ],
)  # fmt: skip
def test_what_a_subclass_names_as_its_time_is_checked(said, meant):
    error = _Said(**said)
    assert [what_becomes(each, None) for each in (error, error, ExceptionGroup("two", [error]))] == [meant] * 3
    assert throttled_by(error) == "key"
    notes = getattr(error, "__notes__", [])
    assert len(notes) == (meant[0] == "error")
    assert all("its retry_after can't be used: expected a duration such as 10s" in note for note in notes)


def test_a_retry_without_a_time_is_one_by_the_backoff():
    error = Retry("x")
    del error.after
    assert what_becomes(error, None) == ("retry", None)


@pytest.mark.parametrize("wrong", [OSError, [OSError], (3,)])
def test_retry_on_takes_a_tuple_of_exception_classes(wrong):
    with pytest.raises(ConfigurationError, match="retry_on"):
        handler("retried", retry_on=wrong, into=Registry())(lambda job, payload: None)


def test_a_handler_declares_several_schedules_with_their_payloads():
    registry = Registry()

    @handler(
        "resize",
        cron=[
            "0 3 * * *",
            timedelta(minutes=45),
            Schedule("every 2 weeks", {"url": "b", "sizes": []}, "Asia/Tokyo", name="weekly", overlap="skip"),
        ],
        timezone="Europe/Berlin",
        into=registry,
    )  # fmt: skip
    def resize(job: Job, payload: dict) -> None: ...

    assert registry.require("resize").schedules == (
        ("resize", "0 3 * * *", "Europe/Berlin", b"{}", "run_once", "allow"),
        ("resize-2", "every 45m", "Europe/Berlin", b"{}", "run_once", "allow"),
        (
            "weekly",
            "every 2 weeks",
            "Asia/Tokyo",
            b'{"url":"b","sizes":[]}',
            "run_once",
            "skip",
        ),
    )


def test_two_handlers_can_not_declare_schedules_of_one_name():
    registry = Registry()

    @handler("first", cron=Schedule("@daily", name="nightly"), into=registry)
    def first(job: Job, payload: dict) -> None: ...

    with pytest.raises(ConfigurationError, match="schedule 'nightly' is also declared by 'first'. Rename one"):
        handler("nightly", cron="@daily", into=registry)(lambda job, payload: None)
    # The same module, loaded again.
    handler("first", cron=Schedule("@daily", name="nightly"), into=registry)(first)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        (["@daily", 3], "3 must be a string, a timedelta or a Schedule"),
        (["@daily", "every 5 bananas"], "cron: typed-2: is 'every 5 bananas': expected whole seconds"),
        (timedelta(milliseconds=5), "is 'every 5ms': expected whole seconds"),
        ([Schedule("@daily", name="a"), Schedule("@hourly", name="a")], "two schedules are named 'a'"),
        (Schedule("@daily", {"url": 3}), r"sends the payload \{\"url\":3\}, which is invalid: /url: expected `str`"),
        ("@daily", r"sends the payload \{\}, which is invalid: /url: is required"),
        (Schedule("@daily", {"url": object()}), "/payload: can't be encoded as JSON"),
        (Schedule("@daily", {"url": "a"}, timezone="Mars"), "timezone: is 'Mars'"),
        (Schedule("@daily", {"url": "a"}, name="a b"), "name 'a b' must match"),
        (Schedule("@daily", {"url": "a"}, missed="twice"), "missed='twice': must be one of skip"),
    ],
)
def test_a_wrong_schedule_is_rejected_where_it_is_declared(cron, message):
    def typed(job: Job, payload: Resize) -> None: ...

    with pytest.raises(ConfigurationError, match=message):
        handler("typed", cron=cron, into=Registry())(typed)
