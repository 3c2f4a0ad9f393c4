import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
import pytest

from gopher.errors import ConfigurationError, InvalidJob, RoleNeeded, UnknownType
from gopher.jobs.backoff import Backoff
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import Job


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


def test_what_a_handler_does_not_say_is_left_to_the_settings(handlers):
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
def test_names_the_field_that_breaks_a_rule(handlers, payload, field):
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


PROGRAMS = ("gopher.worker", "gopher.scheduler", "gopher.app", "gopher.cli.main")
TOLD = [
    *((program, clash) for program in PROGRAMS for clash in ("one name in two modules", "a module that exits")),
    *((program, "a bad cron expression") for program in PROGRAMS),
    *(("gopher.cli.main", clash) for clash in CLASHES),
]


@pytest.mark.parametrize(("program", "clash"), list(dict.fromkeys(TOLD)))
def test_every_program_says_in_a_sentence_why_a_declaration_is_refused(tmp_path, redis_url, namespace, program, clash):
    modules, words = CLASHES[clash]
    write_modules(tmp_path, modules)
    arguments = ["submit", "--type", "send"] if program == "gopher.cli.main" else []
    code = "import sys; from gopher.cli.main import main; sys.exit(main())"
    command = [sys.executable, *(["-c", code] if arguments else ["-m", program]), *arguments]
    environ = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_HANDLERS": ",".join(modules)}
    environ |= {"PYTHONPATH": str(tmp_path), "SERVER_HOST": "127.0.0.1", "SERVER_PORT": "0", "WEB_CONCURRENCY": "1"}
    told = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    said = told.stdout + told.stderr
    assert told.returncode != 0
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_a_module_that_is_reloaded_or_runs_as_a_script_too_declares_its_handlers_anew(tmp_path):
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
def test_a_type_says_which_role_it_needs(handlers, needs):
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
