"""What a type checker says of programs that use the clients: checked by test_typing.py, never run.

A line that ends with `# error: ...` has to be an error, with that text in it; all others have to be right.
"""

from typing import Any

from gopher.testing import EagerClient, run_job

from gopher import Client, HttpClient
from gopher.interface import Gopher
from gopher.submission import JobFields, SubmitOptions


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
        each.schedules.preview("nightly", 3)
    for_both: list[Gopher] = [client, http]
    seen(for_both[0].dead_letters.groups("mail").groups)
    run_job("email", {}, attempt=3, metadata={"order": 17})


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
