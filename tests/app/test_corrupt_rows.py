"""A page never fails for one row: what is corrupt in the server is shown as that, beside what is not.

Everything is planted by hand, as an older version, another program or a broken disk may leave it.
"""

import json
import re
from base64 import urlsafe_b64encode
from itertools import cycle

import msgspec
import pytest
from click.testing import CliRunner
from gopher.cli.main import cli

from gopher.admin.dead_letters import DeadLetters
from gopher.base.states import State
from gopher.jobs.job import new_job_id
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.presence import show_worker
from gopher.reads.job_views import FIELDS
from tests.app.installation import QUEUE, Installation, listed, look_at, walk

#: Before the year 1, as 0001-01-01T00:00:00+14:00 is.
YEAR_0 = -62_135_647_200_000
NO_VALUES = [
    b"",
    b"nonsense",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"[1]",
    b"null",
    b"5",
    b'{"type":1}',
    b'"\xff"',
    b"{}",
    b"[[]]",
    b'{"a":' * 2000,
]
NO_NUMBERS = [b"nan", b"inf", b"-inf", b"1e400", b"9" * 400, b"9" * 5000, b"1e300", b"-1", b"%d" % YEAR_0, b"2e17"]
BAD = [None, *NO_VALUES, *NO_NUMBERS]


@pytest.fixture
def installation(redis_url, namespace, monkeypatch):
    # The API's own limits are shorter than that of its settings.
    for name in ("PROBE_TIMEOUT", "REDIS_TIMEOUT"):
        monkeypatch.setattr(f"gopher.app.context.{name}", 60.0)
    made = Installation(redis_url, namespace)
    yield made
    made.client.close()


#: Pending ones last: each of the others is fetched before there are any.
STATES = [State.PROCESSING, State.RETRYING, State.FAILED, State.COMPLETED, State.SCHEDULED, State.PENDING]


FIELDS_AND_MORE = [*FIELDS, "log:1", "bucket", "waiting_for", "parents", "retention"]
TOGETHER = [FIELDS_AND_MORE[at : at + 6] for at in range(0, len(FIELDS_AND_MORE), 6)]


@pytest.mark.parametrize(
    "fields",
    [
        *(pytest.param(some, id=f"{some[0]} to {some[-1]}") for some in TOGETHER),
        *(pytest.param([field], id=field, marks=pytest.mark.deep) for field in FIELDS_AND_MORE),
    ],
)
def test_no_value_of_a_jobs_record_hides_other_jobs_or_itself(installation, fields):
    """Six fields together, a sixth of the values for each, others for the next field; test-deep has each with all."""
    planted = []
    for field in fields:
        place = FIELDS_AND_MORE.index(field)
        turned = cycle([*STATES[place % len(STATES) :], *STATES[: place % len(STATES)]])
        values = BAD[place % len(fields) :: len(fields)]
        planted += [(state, field, value) for state, value in zip(turned, values, strict=False)]
    # Pending ones come last: each of the others is fetched before there are any.
    planted.sort(key=lambda each: STATES.index(each[0]))
    good = {installation.job_in(state): state for state in STATES[:-1]}
    bad = {installation.job_in(state): (field, value) for state, field, value in planted}
    good[installation.job_in(State.PENDING)] = State.PENDING
    for job_id, (field, value) in bad.items():
        installation.plant(job_id, field, value)
    rows = listed(installation)
    assert not {key: planted for key, planted in bad.items() if key not in rows}
    for job_id, state in good.items():
        assert rows[job_id]["status"] == state
        assert "corrupt" not in rows[job_id]
    for job_id in bad:
        assert look_at(installation, job_id) == rows[job_id]
    walk(installation)


@pytest.mark.parametrize("what", ["a text", "a list", "nothing but its state", "everything wrong"])
def test_a_record_that_is_none_is_a_row_that_says_so(installation, what):
    good, bad = [], {}
    for state in STATES:
        job_id, *others = (installation.job_in(state) for _ in range(3))
        bad[job_id] = state
        good += others
    for job_id, state in bad.items():
        spoil(installation, job_id, state, what)
    rows = listed(installation)
    assert {*good, *bad} <= rows.keys()
    for job_id, state in bad.items():
        assert rows[job_id]["status"] == (state if what == "nothing but its state" else "corrupt")
        assert {"type", "priority", "payload"} <= set(rows[job_id]["corrupt"])
        look_at(installation, job_id)
    walk(installation)


def spoil(installation, job_id, state, what):
    key = installation.keys.job(job_id)
    if what == "everything wrong":
        installation.redis.hset(key, mapping=dict.fromkeys(FIELDS, b"\xff"))
        return
    installation.redis.delete(key)
    if what == "a text":
        installation.redis.set(key, "nonsense")
    elif what == "a list":
        installation.redis.rpush(key, "nonsense")
    else:
        installation.redis.hset(key, "state", state)


def test_a_job_of_an_older_version_that_is_due_before_the_year_1_is_shown_without_its_time(installation):
    job_id = installation.job_in(State.SCHEDULED)
    installation.plant(job_id, "due", b"%d" % YEAR_0)
    envelope = b'{"payload":{"operation":"prime","number":7},"execute_at":%d}' % YEAR_0
    installation.plant(job_id, "envelope", envelope)
    installation.redis.zadd(installation.keys.scheduled, {job_id: YEAR_0})
    view = look_at(installation, job_id)
    assert (view["status"], view["execute_at"], view["corrupt"]) == ("scheduled", None, ["execute_at"])
    assert view["payload"] == {"operation": "prime", "number": 7}
    assert job_id in installation.run("jobs")
    assert "execute_at" in installation.run("job", job_id)


@pytest.mark.parametrize("place", ["scheduled", "retrying", "failed", "finished"])
def test_scores_and_ids_that_are_none_hide_no_job_of_the_same_place(installation, place):
    state = State.COMPLETED if place == "finished" else State(place)
    good = [installation.job_in(state) for _ in range(3)]
    key = installation.keys.prefix + place
    for score in ("-inf", "+inf", YEAR_0, 1e300):
        installation.redis.zadd(key, {f"junk {score}": score, b"\xff" + str(score).encode(): score})
    installation.redis.zadd(key, {good[0]: "+inf", good[1]: YEAR_0})
    assert set(good) <= listed(installation).keys()
    walk(installation)


def test_names_that_are_none_hide_no_figures(installation):
    """Of queues, of the workers of one, and of what is over its limit."""
    head, good = installation.job_in(State.PENDING), installation.job_in(State.PENDING)
    redis, keys = installation.redis, installation.keys
    assert redis.lrange(keys.next, 0, -1) == [head.encode()]
    redis.sadd(installation.client.server.keys.queues, b"\xff", "", "{no}:queue")
    redis.zadd(keys.workers, {b"\xff": "+inf", "text": "+inf"})
    redis.lset(keys.next, 0, b"\xff")
    redis.zadd(keys.throttled, {b"\xff": 1})
    assert installation.get("/api/v1/queue/stats")["queues"].keys() >= {QUEUE}
    assert good in listed(installation)
    walk(installation)


def test_ids_that_are_none_hide_no_job_of_the_same_list(installation):
    installation.job_in(State.PENDING)
    good = installation.job_in(State.PENDING)
    for key in (installation.keys.pending("normal"), installation.keys.pending("low"), installation.keys.next):
        installation.redis.lpush(key, "junk", b"\xff", "")
        installation.redis.rpush(key, "junk", b"\xff", "")
    assert good in listed(installation)
    walk(installation)


SPEC = ScheduleSpec(
    cron_expression="0 3 * * *", type="math", payload=msgspec.Raw(b'{"operation":"prime","number":7}')
).definition()


def test_a_schedule_that_can_not_be_read_is_a_row_that_says_so(installation):
    schedules, ticks = installation.keys.schedules, installation.keys.ticks
    installation.client.schedules.put("good", msgspec.json.decode(SPEC, type=ScheduleSpec))
    definitions = {f"whole-{at}": value for at, value in enumerate(BAD) if value is not None}
    for field in ScheduleSpec.__struct_fields__:
        for at, value in enumerate([None, 5, [], "nonsense", "\ufffe", {"a": 1}, 1e300, -(10**30), "9" * 400]):
            definitions[f"{field}-{at}"] = json.dumps({**json.loads(SPEC), field: value}).encode()
        definitions[f"{field}-gone"] = json.dumps({k: v for k, v in json.loads(SPEC).items() if k != field}).encode()
    definitions["zone-of-another-machine"] = SPEC.replace(b'"UTC"', b'"Mars/Olympus"')
    for name, definition in definitions.items():
        installation.redis.hset(schedules, name, definition)
    for at, score in enumerate(["-inf", "+inf", YEAR_0, 1e300]):
        installation.redis.hset(schedules, f"tick-{at}", SPEC)
        installation.redis.zadd(ticks, {f"tick-{at}": score})
    rows = {row["name"]: row for row in installation.get("/api/v1/schedules")["schedules"]}
    assert rows.keys() >= {"good", *definitions}
    assert "corrupt" not in rows["good"]
    assert rows["zone-of-another-machine"]["corrupt"] == ["timezone"]
    assert rows["zone-of-another-machine"]["cron_expression"] == "0 3 * * *"
    assert rows["whole-1"]["corrupt"][0] == "definition"
    assert all(rows[f"tick-{at}"]["corrupt"] == ["next_run_at"] for at in range(4))
    for name in ("good", "whole-1", "whole-3", "cron_expression-1", "payload-1", "tick-0", "tick-2"):
        installation.get(f"/api/v1/schedules/{name}")
        assert name in installation.get(f"/dashboard/schedules/{name}")
    later = installation.client.schedules.page(limit=500, cursor=urlsafe_b64encode(b"whole").decode()).schedules
    assert later[-1].name == "zone-of-another-machine"
    address, pages = "/dashboard/schedules", ""
    while address:
        pages += (page := installation.get(address))
        following = re.search(r'id="next" href="([^"]+)"', page)
        address = following and following[1]
    assert all(f'id="schedule-{name}"' in pages for name in definitions)
    assert "zone-of-another-machine" in installation.run("schedules")
    installation.redis.hset(schedules, b"\xff", SPEC)
    installation.redis.hset(schedules, "", SPEC)
    assert "\ufffd" in installation.run("schedules")
    walk(installation)


def test_an_act_on_a_corrupt_schedule_reports_what_is_wrong_and_deleting_it_works(installation):
    installation.redis.hset(installation.keys.schedules, "broken", b"nonsense")
    for act in ("pause", "resume", "run"):
        assert installation.api.post(f"/api/v1/schedules/broken/{act}").status_code == 400
    assert installation.api.get("/api/v1/schedules/broken/preview").status_code == 400
    assert installation.api.delete("/api/v1/schedules/broken").status_code == 200
    assert installation.get("/api/v1/schedules")["schedules"] == []


WORKER = {
    "id": "w",
    "host": "h",
    "pid": 1,
    "version": "1",
    "queues": ["default"],
    "types": ["math"],
    "jobs_done": 1,
    "rss": 1,
    "started_at": "2026-11-24T08:00:00.000Z",
    "last_heartbeat": "2026-11-24T08:00:00.000Z",
    "children": [{"pid": 2, "rss": 1, "jobs_done": 1, "running_since": "2026-11-24T08:00:00.000Z"}],
}
CHILD = WORKER["children"][0]


def test_a_worker_whose_record_can_not_be_read_is_a_row_that_says_so(installation):
    server = installation.client.server
    records = [value for value in BAD if value]
    for value in (None, 5, [], "nonsense", {"a": 1}, -(10**30), "0001-01-01T00:00:00+14:00", "9" * 400):
        records += [json.dumps({**WORKER, field: value}).encode() for field in WORKER]
        records += [json.dumps({**WORKER, "children": [{**CHILD, field: value}]}).encode() for field in CHILD]
    ids = [f"worker-{at}" for at in range(len(records))]
    for name, record in [("good", json.dumps({**WORKER, "id": "good"}).encode()), *zip(ids, records, strict=True)]:
        for command in show_worker(server.keys, name, record, installation.client.inspector.now(), 60):
            server.client.execute_command(*command.words)
    for name in ("text", b"\xff"):
        server.client.zadd(server.keys.workers, {name: "+inf"})
    server.client.set(server.keys.worker("text"), "nonsense")
    workers = {row["id"]: row for row in installation.get("/api/v1/workers")["workers"]}
    assert "corrupt" not in workers["good"]
    assert workers["worker-0"]["corrupt"] == workers["text"]["corrupt"] == ["record"]
    health = installation.get("/health")
    assert health["workers"] >= 3
    assert "good" in installation.run("workers")
    walk(installation)


def test_limits_that_can_not_be_read_are_rows_that_say_so(installation):
    installation.client.flow.set_limit("good", "5/s", None, 2)
    for field in ("rate", "burst", "concurrency", "origin", "paused", "held_until"):
        for at, value in enumerate(BAD):
            name = f"{field}-{at}"
            installation.client.flow.set_limit(name, "5/s", None, 2)
            key = installation.keys.limit(name)
            installation.redis.hdel(key, field) if value is None else installation.redis.hset(key, field, value)
    installation.redis.sadd(installation.keys.limited, "text", "held")
    installation.redis.set(installation.keys.limit("text"), "nonsense")
    installation.client.flow.set_limit("held", "5/s", None, 2)
    installation.redis.set(installation.keys.holding("held"), "nonsense")
    rows = {row["type"]: row for row in installation.get("/api/v1/limits")["limits"]}
    assert (rows["good"]["rate"], rows["good"].get("corrupt")) == ("5/s", None)
    assert rows["rate-2"]["corrupt"] == ["rate"]
    assert rows["text"]["corrupt"] == ["limit"]
    assert rows["held"]["corrupt"] == ["running"]
    installation.redis.sadd(installation.keys.limited, b"\xff", "")
    walk(installation)


def test_why_a_job_waits_is_told_though_its_limit_can_not_be_read(installation):
    installation.job_in(State.PENDING)
    job_id = installation.job_in(State.PENDING)
    for field in ("rate", "burst", "concurrency", "held_until"):
        for value in BAD:
            installation.client.flow.set_limit("math", "5/s", None, 2)
            if value is not None:
                installation.redis.hset(installation.keys.limit("math"), field, value)
            assert installation.get(f"/api/v1/jobs/{job_id}/why")["reasons"]
    for name in ("limit", "bucket", "holding", "histogram", "latencies"):
        installation.redis.delete(key := getattr(installation.keys, name)("math"))
        installation.redis.set(key, "nonsense")
        assert installation.get(f"/api/v1/jobs/{job_id}/why")["reasons"]
        installation.redis.delete(key)


REDRIVE = (
    *("state", "asked", "total", "retried", "canary", "canaries", "rate", "began", "finished", "reason"),
    "everything",
)


@pytest.mark.parametrize("field", REDRIVE)
def test_a_redrive_that_can_not_be_read_is_a_row_that_says_so(installation, field):
    for _ in range(2):
        installation.job_in(State.FAILED)
    letters: DeadLetters = installation.client.dead_letters
    good = letters.retry_gradually(rate="1/h").redrive_id
    bad = []
    for value in BAD:
        bad.append(letters.retry_gradually(rate="1/h").redrive_id)
        key = installation.keys.redrive(bad[-1])
        if field == "everything":
            installation.redis.delete(key)
            installation.redis.set(key, value or b"nonsense")
        else:
            installation.redis.hdel(key, field) if value is None else installation.redis.hset(key, field, value)
    rows = {row["redrive_id"]: row for row in installation.get("/api/v1/dlq/redrives")["redrives"]}
    assert rows.keys() >= {good, *bad}
    assert "corrupt" not in rows[good]
    if field in ("state", "asked", "total", "rate", "began", "everything"):
        assert rows[bad[2]]["corrupt"]
    assert good in installation.run("redrives")
    walk(installation)


def test_groups_of_dead_letters_that_can_not_be_read_are_rows_that_say_so(installation):
    installation.job_in(State.FAILED)
    (good,) = installation.get("/api/v1/dlq/groups")["groups"]
    for at, name in enumerate(value for value in BAD if value is not None):
        installation.redis.zadd(installation.keys.groups, {f"name-{at}": 1})
        installation.redis.zadd(installation.keys.group(f"name-{at}"), {new_job_id(): 1})
        installation.redis.hset(installation.keys.group_names, f"name-{at}", name)
    for at, score in enumerate(["-inf", "+inf", YEAR_0, 1e300]):
        installation.redis.zadd(installation.keys.groups, {f"score-{at}": score})
        installation.redis.zadd(installation.keys.group(f"score-{at}"), {b"\xff": score})
        installation.redis.hset(installation.keys.group_names, f"score-{at}", "math\nValueError\n")
    groups = {row["group"]: row for row in installation.get("/api/v1/dlq/groups")["groups"]}
    assert groups[good["group"]] == good
    assert groups["name-1"]["corrupt"] == ["type"]
    assert groups["score-2"]["corrupt"] == ["first_seen", "last_seen", "last_job_id"]
    assert good["group"] in installation.run("list-failed", "--groups")
    walk(installation)


def test_samples_and_counters_that_can_not_be_read_count_for_nothing(installation):
    installation.job_in(State.COMPLETED)
    installation.client.server.run(installation.client.server.queue(QUEUE).sample())
    now = installation.client.inspector.now()
    for step in (10_000, 300_000, 3_600_000):
        for at, value in enumerate([*(value for value in BAD if value is not None), b"\x80", b"\x81\xa2at\xc0"]):
            installation.redis.zadd(installation.keys.timeline(step), {value + b"%d" % at: now - at * step})
    assert isinstance(installation.get("/api/v1/timeline?window=1h")["points"], list)
    assert isinstance(installation.get("/api/v1/timeline?window=7d")["points"], list)
    for at, value in enumerate(value for value in BAD if value is not None):
        installation.redis.hset(installation.keys.totals, f"completed:kind-{at}", value)
        installation.redis.hset(installation.keys.totals, b"\xff%d" % at, value)
        installation.redis.hset(installation.keys.totals, f"dequeued:kind-{at}", value)
        installation.redis.hset(installation.keys.histogram("math"), f"run:{at}", value)
        installation.redis.hset(installation.keys.latencies("math"), f"run:{at}", value)
        installation.redis.hset(installation.keys.tombstones, "low", value)
        assert "default" in installation.get("/api/v1/queue/stats")["queues"]
    assert "gopher_worker_count" in installation.get("/metrics")
    walk(installation)


def test_the_lists_of_gopherctl_show_what_is_corrupt_beside_what_is_not(installation):
    good, *bad = (installation.job_in(State.FAILED) for _ in range(1 + len(FIELDS)))
    for job_id, field in zip(bad, FIELDS, strict=True):
        installation.plant(job_id, field, b"\xff{nan")
    for command in ("jobs", "list-failed"):
        for arguments in ((), ("--json",)):
            said = installation.run(command, "--limit", "100", *arguments)
            assert all(job_id in said for job_id in (good, *bad)), command
        assert f"{bad[FIELDS.index('history')]} is corrupt: history can't be read" in installation.run(command)
    for job_id, field in zip(bad, FIELDS, strict=True):
        said = installation.run("job", job_id)
        if field in ("type", "priority", "attempts", "started", "finished", "duration", "error", "history", "result"):
            assert re.search(r"^corrupt +\w", said, re.MULTILINE), (field, said)
        for command in ("logs", "why"):
            installation.run(command, job_id)
    for command in ("stats", "health", "redrives"):
        installation.run(command)
    installation.redis.zadd(installation.keys.scheduled, {"junk": "-inf", b"\xff": YEAR_0})
    examined = CliRunner().invoke(cli, ["doctor"], env=installation.environ)
    assert examined.exception is None or isinstance(examined.exception, SystemExit)


IN_A_QUEUE = [
    *("next", "scheduled", "retrying", "failed", "groups", "group_names", "redrives", "telling", "finished", "workers"),
    *("fenced", "tombstones", "throttled", "limited", "schedules", "ticks", "last", "totals", "histogram:math"),
    *("latencies:math", "pending:high", "timeline:10000", "paused"),
]


@pytest.mark.parametrize("kind", ["text", "list"])
def test_corrupt_keys_of_one_queue_do_not_affect_others(installation, kind):
    job_id = installation.client.enqueue("math", {"operation": "prime", "number": 7})
    server, redis = installation.client.server, installation.redis
    server.register_queues("broken")
    for name in IN_A_QUEUE:
        key = server.keys.for_queue("broken").prefix + name
        redis.set(key, "nonsense") if kind == "text" else redis.rpush(key, "nonsense")
    for key in (server.keys.leaving, server.keys.forgotten):
        redis.set(key, "nonsense")
    walk(installation)
    assert [row["job_id"] for row in installation.get("/api/v1/jobs")["jobs"] if row["queue"] == QUEUE] == [job_id]
    assert installation.get("/api/v1/queue/stats")["queues"].keys() == {QUEUE, "broken"}
    # A scheduler finds out what the queue holds, and does not forget it.
    assert server.run(server.queue("broken").survey()).holds
    assert server.run(server.queue("broken").forget()) is None


NO_NOTES = [b"", b"nonsense", b"\xff", b"[]", b'{"count":"many","queues":[]}', b'{"count":1}', None]


@pytest.mark.parametrize("note", NO_NOTES)
def test_health_does_without_a_note_that_can_not_be_read(installation, note):
    for number in range(20):
        installation.client.enqueue("math", {"operation": "prime", "number": 7}, queue=f"q{number}")
    key = installation.client.server.keys.unserved
    installation.redis.rpush(key, "x") if note is None else installation.redis.set(key, note)
    reasons = installation.get("/health")["reasons"]
    assert any(reason.startswith("queue 'q19' has jobs and no worker") for reason in reasons)
