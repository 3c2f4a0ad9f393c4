"""What a scheduler looks after on a cluster, also before there is any queue on it."""

from gopher.scheduler.housekeeper import Housekeeper

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.queue.store import Server
from tests.helpers import wait_until


def test_a_scheduler_that_knows_no_queue_yet_goes_on_looking_after_a_cluster(cluster, namespace):
    with Server(Settings(redis_url=cluster.url, namespace=namespace), connections=2) as server:
        housekeeper = Housekeeper(server, Registry(), list)
        housekeeper.declare()
        housekeeper.start()
        try:
            for _ in range(2):
                server.client.delete(server.keys.meta)
                wait_until(lambda: server.client.hget(server.keys.meta, "emptied_at"), 10, "the lost mark")
        finally:
            housekeeper.stop()
