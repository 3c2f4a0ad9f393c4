"""Schedules that several change at the same time: nothing that was answered is lost, whatever the others do."""

import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from gopher.admin.schedules import Schedules
from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.errors import InvalidJob, ScheduleChanged, ScheduleNotFound
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.lists import MAX_LIMIT
from gopher.jobs.schedule import ScheduleSpec

QUEUES = ("default", "mail", "images")


def spec(**more) -> ScheduleSpec:
    more = {"cron_expression": "0 3 * * *", "type": "report", "payload": msgspec.Raw(b"{}"), **more}
    return ScheduleSpec(**more)


@pytest.fixture
def connect(redis_url: str, namespace: str) -> Iterator[Callable[[], Client]]:
    made: list[Client] = []

    def connect() -> Client:
        made.append(Client(redis_url, namespace=namespace))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def schedules(connect) -> Schedules:
    return connect().schedules


@pytest.fixture
def others(connect) -> Schedules:
    return connect().schedules


def places(schedules: Schedules, name: str = "nightly") -> dict[str, list[str]]:
    """Return which keys of which queues know a schedule."""
    server, found = schedules._server, {}
    for queue in QUEUES:
        keys = server.keys.for_queue(queue)
        known = {
            "schedules": server.client.hexists(keys.schedules, name),
            "versions": server.client.hexists(keys.versions, name),
            "ticks": server.client.zscore(keys.ticks, name) is not None,
        }
        if any(known.values()):
            found[queue] = [key for key, is_there in known.items() if is_there]
    return found


@pytest.fixture
def meanwhile(schedules, monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Let others act once between the next reading of a schedule and the script that changes it."""

    def arrange(act: Callable[[], object]) -> None:
        store = schedules._store

        def stores(*arguments):
            monkeypatch.setattr(schedules, "_store", store)
            act()
            return store(*arguments)

        monkeypatch.setattr(schedules, "_store", stores)

    return arrange


def test_a_schedule_takes_a_payload_as_a_submission_does(schedules) -> None:
    made, _ = schedules.put("weekly", ScheduleSpec("@weekly", "report", {"kind": "sales"}, metadata={"team": 7}))
    assert (bytes(made.payload), bytes(made.metadata)) == (b'{"kind":"sales"}', b'{"team":7}')
    with pytest.raises(InvalidJob, match="/payload"):
        ScheduleSpec("@weekly", "report", {"kind": object()})


def test_a_pause_keeps_what_others_change_at_the_same_time(schedules, others, meanwhile):
    schedules.put("nightly", spec())
    meanwhile(lambda: others.put("nightly", spec(timezone="Europe/Berlin")))
    view = schedules.pause("nightly")
    assert (view.paused, view.timezone) == (True, "Europe/Berlin")


def test_a_pause_follows_a_schedule_to_the_queue_that_it_is_moved_to(schedules, others, meanwhile):
    schedules.put("nightly", spec())
    meanwhile(lambda: others.put("nightly", spec(queue="mail")))
    view = schedules.pause("nightly")
    assert (view.paused, view.queue) == (True, "mail")
    assert places(schedules) == {"mail": ["schedules", "versions"]}


def test_a_resume_does_not_bring_back_what_others_delete_at_the_same_time(schedules, others, meanwhile):
    schedules.put("nightly", spec(paused=True))
    meanwhile(lambda: others.delete("nightly"))
    with pytest.raises(ScheduleNotFound):
        schedules.resume("nightly")
    assert places(schedules) == {}


@pytest.mark.parametrize("queue", QUEUES)
def test_a_replacement_with_a_version_is_refused_when_others_were_faster(schedules, others, meanwhile, queue):
    version = schedules.put("nightly", spec())[0].version
    meanwhile(lambda: others.pause("nightly"))
    with pytest.raises(ScheduleChanged, match=f"has version .*, not {version}"):
        schedules.put("nightly", spec(timezone="Europe/Berlin", queue=queue), version)
    view = schedules.get("nightly")
    assert (view.paused, view.timezone, view.queue) == (True, "UTC", "default")
    version = view.version
    meanwhile(lambda: others.delete("nightly"))
    with pytest.raises(ScheduleChanged, match="does not exist"):
        schedules.put("nightly", spec(queue=queue), version)
    assert places(schedules) == {}


def test_a_deletion_with_a_version_keeps_what_others_have_changed(schedules, others):
    version = schedules.put("nightly", spec())[0].version
    others.pause("nightly")
    with pytest.raises(ScheduleChanged):
        schedules.delete("nightly", version)
    schedules.delete("nightly", schedules.get("nightly").version)
    with pytest.raises(ScheduleNotFound):
        schedules.delete("nightly")


def test_one_that_was_deleted_and_created_again_has_another_version(schedules):
    first = schedules.put("nightly", spec())[0].version
    schedules.delete("nightly")
    assert schedules.put("nightly", spec())[0].version != first


def test_firing_and_repeats_leave_the_version_as_it_is(schedules):
    view, answer = schedules.put("nightly", spec())
    assert answer == "CREATED"
    queue = schedules._server.queue("default")
    due = from_rfc3339(view.next_run_at)
    assert schedules._server.run(queue.tick("nightly", spec().definition(), due, due + 1000, [])) == "FIRED"
    assert schedules.get("nightly").version == view.version
    # Whoever repeats a request whose answer was lost gets the same one, also with a version.
    assert schedules.put("nightly", spec(), "some other version") == (schedules.get("nightly"), "UNCHANGED")


def test_one_that_has_to_be_new_is_refused_when_there_is_one(schedules, others, meanwhile):
    assert schedules.put("nightly", spec(), "")[1] == "CREATED"
    with pytest.raises(ScheduleChanged, match="exists already"):
        schedules.put("nightly", spec(), "")
    others.put("hourly", spec(), "")
    with pytest.raises(ScheduleChanged, match="exists already"):
        schedules.put("hourly", spec(timezone="Europe/Berlin"), "")
    assert schedules.put("hourly", spec(timezone="Europe/Berlin"), "*")[1] == "REPLACED"
    with pytest.raises(ScheduleChanged, match="does not exist"):
        schedules.put("daily", spec(), "*")


@pytest.mark.parametrize("queue", QUEUES)
def test_of_two_that_are_created_at_the_same_time_one_remains(schedules, others, meanwhile, queue):
    """Each stores it in a queue of its own, and neither has seen the other."""
    meanwhile(lambda: others.put("nightly", spec(queue="mail")))
    view, _ = schedules.put("nightly", spec(queue=queue, timezone="Europe/Berlin"))
    assert (view.timezone, view.queue) == ("Europe/Berlin", queue)
    assert places(schedules) == {queue: ["schedules", "versions", "ticks"]}


@pytest.mark.parametrize("queue", QUEUES)
def test_of_two_that_have_to_be_new_one_is_refused(schedules, others, meanwhile, queue):
    meanwhile(lambda: others.put("nightly", spec(queue="mail"), ""))
    with pytest.raises(ScheduleChanged):
        schedules.put("nightly", spec(queue=queue, timezone="Europe/Berlin"), "")
    assert schedules.get("nightly").timezone == "UTC"
    assert places(schedules) == {"mail": ["schedules", "versions", "ticks"]}


def test_a_move_that_was_cut_off_is_completed_by_whoever_comes_next(schedules, others):
    """A process dies between the script that changes a schedule and those that move it."""
    for act in (
        lambda: others.pause("nightly"),
        lambda: others.resume("nightly"),
        lambda: others.put("nightly", spec(queue="images")),
        lambda: others.delete("nightly"),
        lambda: others.finish_move("nightly"),
    ):
        schedules.put("nightly", spec(paused=True))
        found = schedules._settled("nightly")
        assert schedules._store("nightly", found, spec(queue="mail")) == "REPLACED"
        assert list(places(schedules)) == ["default"]
        # It is shown as it will be.
        view = others.get("nightly")
        assert (view.queue, view.paused, [each.queue for each in others.all()]) == ("mail", False, ["mail"])
        act()
        assert "default" not in places(schedules)
    assert schedules.get("nightly").next_run_at == view.next_run_at


def test_a_late_repeat_of_a_move_brings_nothing_back(schedules, others):
    schedules.put("nightly", spec())
    schedules._store("nightly", schedules._settled("nightly"), spec(queue="mail"))
    late = schedules._stored.found("nightly").copies[0]
    others.finish_move("nightly")
    others.put("nightly", spec(queue="images"))
    queue = schedules._server.queue("mail")
    assert schedules._server.run(queue.set_schedule("nightly", late.definition, 1, "moved", least=late.changed)) == (
        "CHANGED"
    )
    assert list(places(schedules)) == ["images"]


def test_one_moves_also_where_the_clock_of_its_new_queue_is_ahead(schedules):
    """Nodes of a cluster have clocks of their own, and a server's clock may be set back."""
    server = schedules._server
    server.register_queues("mail")
    ahead = schedules._now("mail") + 3_600_000
    server.client.zadd(server.keys.for_queue("mail").removed, {"nightly": ahead})
    for queue in ("default", "mail", "default"):
        view, _ = schedules.put("nightly", spec(queue=queue))
        assert (view.queue, list(places(schedules))) == (queue, [queue])


def test_nothing_is_lost_when_many_edit_one_schedule_and_move_it_about(connect):
    """Each adds its own word to what it has read, and repeats that when others were faster."""
    editors, edits = 6, 8
    connect().schedules.put("nightly", spec())
    failures: list[BaseException] = []

    def edit(number: int, schedules: Schedules) -> None:
        done = 0
        while done < edits:
            view = schedules.get("nightly")
            words = [*msgspec.json.decode(view.payload).get("words", []), f"{number}.{done}"]
            changed = spec(payload=msgspec.Raw(msgspec.json.encode({"words": words})), queue=QUEUES[len(words) % 3])
            try:
                schedules.put("nightly", changed, view.version)
            except ScheduleChanged:
                continue
            done += 1

    def toggle(schedules: Schedules) -> None:
        for _ in range(edits):
            schedules.pause("nightly")
            schedules.resume("nightly")

    def tried(act: Callable[..., None], *arguments) -> None:
        try:
            act(*arguments)
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=tried, args=(edit, number, connect().schedules)) for number in range(editors)]
    threads.append(threading.Thread(target=tried, args=(toggle, connect().schedules)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    schedules = connect().schedules
    words = msgspec.json.decode(schedules.get("nightly").payload)["words"]
    assert sorted(words) == sorted(f"{number}.{done}" for number in range(editors) for done in range(edits))
    assert len(places(schedules)) == 1


def test_one_whose_queue_is_no_name_of_a_queue_is_shown_and_deleted(schedules):
    schedules._server.register_queues("default")
    keys = schedules._server.keys.for_queue("default")
    for queue in ("a b", "x" * 300, None, 5):
        definition = msgspec.json.encode({**msgspec.json.decode(spec().definition()), "queue": queue})
        schedules._server.client.hset(keys.schedules, "nightly", definition)
        assert schedules.get("nightly").corrupt == ["queue"]
        schedules.delete("nightly")
        assert schedules._server.queues() == ["default"]


# What earlier versions of Gopher store and do in the same installation


def test_what_an_earlier_version_has_stored_is_changed_moved_and_deleted(schedules):
    server = schedules._server
    server.register_queues("default")
    keys = server.keys.for_queue("default")
    for act in ("put", "move", "pause", "delete"):
        server.client.hset(keys.schedules, "nightly", spec().definition())
        server.client.zadd(keys.ticks, {"nightly": 4_000_000_000_000})
        view = schedules.get("nightly")
        assert view.version.startswith("0-")
        if act == "put":
            assert schedules.put("nightly", spec(timezone="Europe/Berlin"), view.version)[1] == "REPLACED"
        elif act == "move":
            assert schedules.put("nightly", spec(queue="mail"), view.version)[1] == "REPLACED"
            assert list(places(schedules)) == ["mail"]
        elif act == "pause":
            assert schedules.pause("nightly", view.version).paused
        schedules.delete("nightly")
        assert places(schedules) == {}


def test_a_change_by_an_earlier_version_is_noticed(schedules):
    version = schedules.put("nightly", spec())[0].version
    keys = schedules._server.keys.for_queue("default")
    schedules._server.client.hset(keys.schedules, "nightly", spec(timezone="Europe/Berlin").definition())
    with pytest.raises(ScheduleChanged):
        schedules.put("nightly", spec(priority="high"), version)
    # It deletes the definition alone.
    schedules._server.client.hdel(keys.schedules, "nightly")
    assert schedules.put("nightly", spec(), "")[1] == "CREATED"


# Times


def test_the_servers_clock_decides_when_a_schedule_fires_first(schedules, monkeypatch):
    now = schedules._now("default")
    for wrong in (-86_400, 86_400):
        monkeypatch.setattr(time, "time_ns", lambda wrong=wrong: (now + wrong * 1000) * 1_000_000)
        monkeypatch.setattr(time, "time", lambda wrong=wrong: now / 1000 + wrong)
        view, _ = schedules.put(f"clock{wrong}", spec(cron_expression="* * * * *"))
        resumed = [schedules.pause(view.name), schedules.resume(view.name)][1]
        times = [view.next_run_at, resumed.next_run_at, schedules.preview(view.name, 1)[0].utc]
        assert all(now < from_rfc3339(each) <= schedules._now("default") + 60_000 for each in times)


# Pages


def test_all_schedules_are_listed_by_name_page_by_page(schedules):
    names = sorted(f"s{number}" for number in range(23))
    for number, name in enumerate(names):
        schedules.put(name, spec(queue=QUEUES[number % 3]))
    found, cursor = [], None
    while True:
        page = schedules.page(limit=5, cursor=cursor)
        found.append([view.name for view in page.schedules])
        if (cursor := page.next_cursor) is None:
            break
    assert found == [names[at : at + 5] for at in range(0, 23, 5)]
    assert [view.name for view in schedules.all()] == names
    # Exactly a page is the last one, and what is gone meanwhile shifts nothing.
    assert schedules.page(limit=23).next_cursor is None
    cursor = schedules.page(limit=5).next_cursor
    schedules.delete(names[4])
    assert [view.name for view in schedules.page(limit=2, cursor=cursor).schedules] == names[5:7]
    with pytest.raises(InvalidJob, match="not a cursor"):
        schedules.page(cursor="<>")


def test_a_page_costs_what_it_shows(schedules, monkeypatch):
    """Commands for one page, whatever is on the others."""
    server = schedules._server
    counts = []
    for total in (10, MAX_LIMIT + 10):
        keys = server.keys.for_queue("default")
        server.register_queues("default")
        server.client.hset(keys.schedules, mapping={f"s{number:05}": spec().definition() for number in range(total)})
        before = server.client.info("commandstats")
        assert len(schedules.page(limit=10).schedules) == 10
        after = server.client.info("commandstats")
        reads = ("cmdstat_hget", "cmdstat_zscore", "cmdstat_hkeys", "cmdstat_hgetall")
        counts.append(
            [after.get(name, {"calls": 0})["calls"] - before.get(name, {"calls": 0})["calls"] for name in reads]
        )
    assert counts[0] == counts[1]


# Handlers' declarations


def declaring(cron: str) -> Registry:
    registry = Registry()

    @handler("report", into=registry, cron=cron)
    def report(job, payload: dict) -> None: ...

    return registry


def test_what_an_operator_changes_while_it_is_declared_is_kept(schedules, others, meanwhile):
    for _ in range(2):
        schedules.declare(declaring("0 4 * * *"))
        view = schedules.get("report")
        assert (view.cron_expression, view.origin) == ("0 4 * * *", "handler")
    paused = schedules.pause("report")
    schedules.declare(declaring("0 4 * * *"))
    assert schedules.get("report") == paused
    meanwhile(lambda: others.put("report", spec(cron_expression="0 6 * * *")))
    schedules.declare(declaring("0 5 * * *"))
    assert schedules.get("report").cron_expression == "0 6 * * *"
