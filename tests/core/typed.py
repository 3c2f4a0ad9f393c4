"""What a type checker says of programs that use the clients: checked by test_typing.py, never run.

A line that ends with `# error: ...` has to be an error, with that text in it; all others have to be right.
"""

from typing import Any

from gopher.testing import EagerClient, run_job

from gopher import AsyncClient, Client, HttpClient
from gopher.interface import Gopher
from gopher.submission import JobFields, ScheduleSpec, SubmitOptions
from gopher.views import JobView, Page


def seen(value: object) -> None: ...


def right(client: Client, http: HttpClient, either: Gopher, eager: EagerClient) -> None:
    options: SubmitOptions = {"queue": "mail", "delay": "10m"}
    jobs: list[JobFields] = [{"type": "email", "payload": {}, "priority": "high"}]
    for each in (client, http, either, eager):
        each.enqueue("email", {"to": "ann"}, priority="high", timeout=20, metadata={"order": 17})
        each.enqueue("email", {}, **options)
        each.enqueue("email", {}, max_retries=3, after=["id"], unique_key="key", expires_in="1h")
        each.enqueue_many(jobs)
        each.enqueue_many({"type": "email", "payload": {"number": n}, "queue": "mail"} for n in range(3))
        each.dead_letters.retry_all(job_type="email", error="ValueError", queue="mail", limit=10)
        seen(each.dead_letters.retry_gradually("email", canary=2, rate="5/s").redrive_id)
        seen(each.dead_letters.page(limit=10, cursor=None).total_count)
        seen(each.jobs(status="failed", job_type="email").next_cursor)
        each.flow.set_limit("email", "10/s", None, 4)
        seen(each.timeline("1h", queue="mail").points)
        each.enqueue("email", {}, files={"file": b"bytes", "other": "a.txt", "third": each.files.upload("a.txt")})
        seen(each.files.all("id")[0].content_type)
        each.schedules.preview("nightly", 3)
        each.schedules.put("nightly", ScheduleSpec("@daily", "email", {"to": "ann"}, metadata={"order": 17}))
        each.enqueue("email", {}, unique_key="key", unique_mode="replace", max_wait=60)
        seen(each.flow.release("email", "customer-42") > 0)
    for_both: list[Gopher] = [client, http]
    seen(for_both[0].dead_letters.groups("mail").groups)
    run_job("email", {}, attempt=3, metadata={"order": 17})


async def right_async(client: AsyncClient) -> list[str]:
    options: SubmitOptions = {"queue": "mail", "delay": "10m"}
    job_id: str = await client.enqueue("email", {"to": "ann"}, **options)
    view: JobView = await client.wait(job_id, timeout=3)
    page: Page = await client.jobs(status="failed", job_type="email")
    seen((await client.dead_letters.page(limit=10)).total_count)
    seen(await client.dead_letters.retry_all(job_type="email", error="ValueError", queue="mail", limit=10))
    await client.flow.set_limit("email", "10/s", None, 4)
    seen((await client.schedules.preview("nightly", 3))[0])
    seen((await client.files.all("id"))[0].content_type)
    seen((view.status, page.next_cursor, (await client.health()).status))
    return await client.enqueue_many({"type": "email", "payload": {"number": n}} for n in range(3))


async def wrong_async(client: AsyncClient) -> None:
    await client.enqueue("email", {}, qeue="mail")  # error: Unexpected keyword argument "qeue"
    await client.enqueue("email", {}, priority=3)  # error: has incompatible type "int"
    await client.enqueue("email")  # error: Too few arguments
    await client.jobs(stauts="failed")  # error: Unexpected keyword argument "stauts"
    await client.dead_letters.retry_all(eror="ValueError")  # error: Unexpected keyword argument "eror"
    seen(client.enqueue("email", {}).upper())  # error: has no attribute "upper"
    seen((await client.job("id")).stauts)  # error: has no attribute "stauts"


def wrong(client: Client, http: HttpClient, either: Gopher, eager: EagerClient, anything: Any) -> None:
    client.enqueue("email", {}, qeue="mail")  # error: Unexpected keyword argument "qeue"
    http.enqueue("email", {}, qeue="mail")  # error: Unexpected keyword argument "qeue"
    either.enqueue("email", {}, qeue="mail")  # error: Unexpected keyword argument "qeue"
    eager.enqueue("email", {}, qeue="mail")  # error: Unexpected keyword argument "qeue"
    client.enqueue("email", {}, priority=3)  # error: has incompatible type "int"
    client.enqueue("email", {}, recurring=anything)  # error: Unexpected keyword argument "recurring"
    client.enqueue_many([{"type": "email", "payload": {}, "qeue": "mail"}])  # error: Extra key "qeue"
    http.enqueue_many({"type": "email", "payload": n, "qeue": "mail"} for n in range(3))  # error: Extra key "qeue"
    client.enqueue_many([{"type": "email"}])  # error: Missing key "payload"
    client.dead_letters.retry_all(eror="ValueError")  # error: Unexpected keyword argument "eror"
    http.dead_letters.retry_all(eror="ValueError")  # error: Unexpected keyword argument "eror"
    either.dead_letters.discard_all(cursor="x")  # error: Unexpected keyword argument "cursor"
    client.jobs(stauts="failed")  # error: Unexpected keyword argument "stauts"
    http.jobs(limit="ten")  # error: has incompatible type "str"
    client.dead_letters.retry(17)  # error: has incompatible type "int"
    run_job("email", {}, atempt=3)  # error: Unexpected keyword argument "atempt"
