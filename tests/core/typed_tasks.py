"""What a type checker says of programs that submit tasks: checked by test_typing.py, never run.

A line that ends with `# error: ...` has to be an error, with that text in it; all others have to be right.
"""

from datetime import UTC, datetime, timedelta
from typing import assert_type

from gopher.testing import run_job

from gopher import AsyncTask, Client, Job, JobHandle, Schedule, Task, handler, task


@task
def send_mail(to: str, n: int = 1) -> str:
    return to * n


@task("shop.resize", timeout=timedelta(seconds=20), queue="media", max_retries=2)
def resize(width: int, *, crop: bool = False) -> list[int]:
    return [width, int(crop)]


@task(bind=True)
def export(job: Job, table: str) -> int:
    job.progress(0.5)
    return len(table)


@task(
    retry_on=(ConnectionError, TimeoutError),
    backoff=["10s", 60, timedelta(minutes=5)],
    cron=["0 3 * * *", timedelta(minutes=45), Schedule("every 2 weeks", {"kind": "long"}, name="long-report")],
    unique_key=lambda arguments: arguments.kind,
)
def report(kind: str = "short") -> None: ...


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task(bind=True, queue="io")
async def watch(job: Job, url: str) -> None: ...


@handler("plain")
def plain(job: Job, payload: dict[str, int]) -> int:
    return payload["number"]


async def right(client: Client) -> None:
    assert_type(send_mail.delay("ab", n=3), JobHandle[str])
    assert_type(send_mail.delay("ab").result(timeout=10), str)
    assert_type(send_mail.options(delay=timedelta(minutes=5), queue="mail").delay("ab"), JobHandle[str])
    send_mail.options(execute_at=datetime(2030, 1, 1, tzinfo=UTC), expires_at="2030-01-02T00:00:00Z").delay(to="ab")
    assert_type(send_mail("ab", 2), str)
    assert_type(send_mail.map(["ab", "cd"]), list[JobHandle[str]])
    assert_type(send_mail.map([("ab", 1), ("cd", 2)]), list[JobHandle[str]])
    assert_type(resize.delay(10, crop=True).result(), list[int])
    assert_type(export.delay("orders").result(), int)
    assert_type(export("orders"), int)
    assert_type(fetch.delay("https://example.com").result(), bytes)
    assert_type(await fetch("https://example.com"), bytes)
    assert_type(watch.delay("https://example.com").result(), None)
    assert_type(send_mail.handle("id").result(), str)
    assert_type(plain(Job(id="1", type="plain"), {"number": 1}), int)
    client.enqueue_many([send_mail.job("ab"), resize.options(priority="high").job(10)])
    send_mail.using(client).delay("ab")
    run_job(send_mail, {"to": "ab"})
    tasks: tuple[Task[..., str], AsyncTask[..., bytes]] = (send_mail, fetch)
    for each in tasks:
        each.delay("ab")


def wrong() -> None:
    # The five that other queues find, or don't: a misspelt task, an argument of another type, one that is missing, one
    # that is unknown, and a misspelt option.
    send_male.delay("ab")  # noqa: F821  # error: Name "send_male" is not defined
    send_mail.delay(17)  # error: has incompatible type "int"; expected "str"
    send_mail.delay(n=3)  # error: Missing positional argument "to"
    send_mail.delay("ab", m=3)  # error: Unexpected keyword argument "m"
    send_mail.options(qeue="mail").delay("ab")  # error: Unexpected keyword argument "qeue"
    send_mail.options(delay=timedelta(minutes=5), queue="mail").delay(17)  # error: expected "str"
    send_mail.options(delay=[5])  # error: has incompatible type "list[int]"
    send_mail.map([17, 18])  # only basedpyright: mypy does not infer the first parameter
    send_mail.map([("ab", "cd")])  # only basedpyright
    send_mail(17)  # error: expected "str"
    send_mail.job("ab", "cd")  # error: expected "int"
    fetch.delay(17)  # error: expected "str"
    export.delay(Job(id="1", type="export"), "orders")  # error: Too many arguments
    watch.delay()  # error: Missing positional argument "url"
    number: int = send_mail.delay("ab").result()  # error: expression has type "str"
    resize.delay(10, True)  # error: Too many positional arguments
    plain(Job(id="1", type="plain"), {"number": "1"})  # error: expected "str": "int"
    number.bit_length()


@task(quue="mail")  # error: Unexpected keyword argument "quue"
def misspelt_option(to: str) -> None: ...


@task(timeout=[3])  # error: argument type "list[int]"
def wrong_option(to: str) -> None: ...


@handler("email", quue="mail")  # error: Unexpected keyword argument "quue"
def misspelt_option_of_a_handler(job: Job, payload: dict[str, int]) -> None: ...
