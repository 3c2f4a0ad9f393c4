"""What a scheduler looks after on a cluster, also before there is any queue on it."""

from gopher.scheduler.housekeeper import Housekeeper

from gopher.admin.withdrawals import Declaration, Withdrawals
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry, handler
from gopher.queue.store import Server
from tests.helpers import wait_until


def test_a_scheduler_without_queues_keeps_polling_a_cluster(cluster, namespace):
    with Server(Settings(redis_url=cluster.url, namespace=namespace), connections=2) as server:
        housekeeper = Housekeeper(server, Registry(), "s1", list)
        housekeeper.declare()
        housekeeper.start()
        try:
            for _ in range(2):
                server.client.delete(server.keys.meta)
                wait_until(lambda: server.client.hget(server.keys.meta, "emptied_at"), 60, "the lost mark")
        finally:
            housekeeper.stop()


def test_what_handlers_declare_is_announced_and_withdrawn_on_a_cluster(cluster, namespace):
    registry = Registry()
    for name, queue in (("nightly", "default"), ("weekly", "reports")):
        handler(name, into=registry, cron="@daily", queue=queue)(lambda job, payload: None)
    with Server(Settings(redis_url=cluster.url, namespace=namespace), connections=2) as server:
        Housekeeper(server, registry, "s1", list).declare()
        withdrawals = Withdrawals(server, 0.0)
        assert withdrawals.silent() == set()
        declared = [Declaration("default", "schedule", "nightly"), Declaration("reports", "schedule", "weekly")]
        assert list(withdrawals.unannounced(["default", "reports"], 0.0)) == declared
        assert [withdrawals.withdraw(each) for each in declared * 2] == [True, True, False, False]
        assert not any(
            server.client.hgetall(server.keys.for_queue(queue).schedules) for queue in ("default", "reports")
        )
