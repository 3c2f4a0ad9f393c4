"""`gopherctl check` lists all that is wrong in modules of handlers, with file and line."""

import json
import os
import subprocess
import sys

import pytest

from gopher import Job
from gopher.errors import ConfigurationError
from gopher.jobs.handlers import Registry, handler

#: Twelve mistakes, each below the number of its line in the file.
PLANTED = """from dataclasses import dataclass
from gopher import handler

@dataclass
class Order:
    number: int

@handler
def no_parentheses(job, payload): pass

@handler("no_time", timeout=0)
def no_time(job, payload): pass

@handler("too_long", timeout="30d")
def too_long(job, payload): pass

@handler("retries", max_retries=-1)
def retries(job, payload): pass

@handler("permanent", permanent=ValueError)
def permanent(job, payload): pass

@handler("cron", cron="61 * * * *")
def cron(job, payload): pass

@handler("zone", cron="@hourly", timezone="Nowhere")
def zone(job, payload): pass

@handler("order", cron="@hourly")
def order(job, payload: Order): pass

@handler("generator")
def generator(job, payload): yield 1

@handler("Bad Name")
def bad_name(job, payload): pass

@handler("many", concurrency=2.5)
def many(job, payload): pass

@handler("no_time")
def again(job, payload): pass

@handler("permanent")
def twice(job, payload): pass

@handler("permanent")
def thrice(job, payload): pass

@handler("good", timeout="5m", max_retries=0, permanent=(ValueError,), cron="@daily", rate_limit="5/s")
async def good(job, payload): pass
"""
WORDS = {
    8: "write @handler(), with parentheses",
    11: "timeout=0: must be greater than 0 and at most 24h",
    14: "timeout='30d': must be greater than 0",
    17: "max_retries=-1: must be a whole number from 0 to 100",
    20: "give a tuple, permanent=(ValueError,)",
    23: "cron: is '61 * * * *'",
    26: "timezone: is 'Nowhere'",
    29: "its schedule sends the payload {}",
    32: "is a generator",
    35: "job type 'Bad Name' must match",
    38: "concurrency=2.5: must be a whole number",
    47: "job type 'permanent' has two handlers",
}


def check(folder, *arguments, **environ):
    code = "import sys; from gopher.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, "check", *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_module_with_twelve_mistakes_is_told_all_twelve_with_file_and_line(tmp_path):
    (tmp_path / "shop.py").write_text(PLANTED)
    told = check(tmp_path, "shop")
    lines = told.stdout.splitlines()
    assert told.returncode == 1
    assert len(lines) == len(WORDS) == 12
    for line, (number, words) in zip(lines, WORDS.items(), strict=True):
        assert line.startswith(f"{tmp_path}/shop.py:{number}: ")
        assert words in line
    assert told.stderr == "3 handlers, 12 mistakes\n"


def test_what_is_good_ends_with_0_and_needs_no_server(tmp_path):
    told = check(tmp_path, GOPHER_HANDLERS="gopher.handlers", REDIS_URL="redis://127.0.0.1:1")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "5 handlers, 0 mistakes\n")


def test_a_module_that_is_not_imported_hides_no_mistakes_of_the_others(tmp_path):
    (tmp_path / "broken.py").write_text("import json\n\njson.loads('{')\n")
    (tmp_path / "shop.py").write_text(PLANTED)
    told = check(tmp_path, "--json", "nowhere", "broken", "shop")
    answer = json.loads(told.stdout)
    assert told.returncode == 1
    assert answer["handlers"] == 3
    assert len(answer["mistakes"]) == 14
    not_there, broken = answer["mistakes"][0], answer["mistakes"][1]
    assert "there is no module 'nowhere'" in not_there["message"]
    assert (broken["file"], broken["line"]) == (str(tmp_path / "broken.py"), 3)
    assert "JSONDecodeError" in broken["message"]


def positional(job, payload): ...


def keywords(job, **payload): ...


def keyword_only(job, *, payload): ...


def nowhere(job, payload: "Nothing"): ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (keywords, {}, r"exactly two parameters, \(job, payload\)"),
        (keyword_only, {}, r"exactly two parameters, \(job, payload\)"),
        (nowhere, {}, "annotation of its payload can't be evaluated: name 'Nothing'"),
        (positional, {"timeout": "soon"}, "timeout='soon': "),
        (positional, {"timeout": []}, r"timeout=\[\]: "),
        (positional, {"timeout": float("nan")}, "timeout=nan: "),
        (positional, {"max_retries": "3"}, "max_retries='3': "),
        (positional, {"max_retries": True}, "max_retries=True: "),
        (positional, {"max_retries": 10**9}, "max_retries=1000000000: "),
        (positional, {"permanent": ("ValueError",)}, "'ValueError' is not an exception class"),
        (positional, {"permanent": [ValueError]}, "is not a tuple of exception classes"),
        (positional, {"backoff": "steep"}, "backoff 'steep'"),
        (positional, {"backoff": None}, "backoff None"),
        (positional, {"rate_limit": 10}, 'rate_limit=10: must be a string such as "10/s"'),
        (positional, {"rate_limit": "10"}, "expected a rate"),
        (positional, {"burst": 5}, "expected a rate with the burst"),
        (positional, {"rate_limit": "1/s", "burst": "many"}, "not supported"),
        (positional, {"concurrency": 0}, "from 1 to"),
        (positional, {"concurrency": 1, "limit_per_key": "yes"}, "limit_per_key='yes': must be True or False"),
        (positional, {"limit_per_key": True}, "limit_per_key: expected a rate_limit or a concurrency with it"),
        (positional, {"exclusive": "yes"}, "exclusive='yes': must be True or False"),
        (positional, {"cron": 5}, "cron=5: must be a string"),
        (positional, {"cron": "0 0 31 2 *"}, "never fires"),
        (positional, {"timezone": "Mars/Base"}, "timezone: is 'Mars/Base'"),
        (positional, {"timezone": None}, "timezone=None: must be a string"),
        (positional, {"needs": "root"}, "needs='root': must be one of"),
    ],
)
def test_what_the_api_would_refuse_is_refused_when_it_is_declared(function, options, words):
    handlers = Registry()
    with pytest.raises(ConfigurationError, match=words):
        handler("bad", into=handlers, **options)(function)
    assert len(handlers) == 0


def test_all_mistakes_of_one_declaration_are_told_at_once():
    with pytest.raises(ConfigurationError) as caught:

        @handler("Bad", timeout=0, max_retries=-1, into=Registry())
        def bad(job: Job) -> None: ...

    assert len(str(caught.value).splitlines()) == 4
