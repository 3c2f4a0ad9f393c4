"""The connections of a scheduler."""

import time

from gopher.cli.fleet_checks import connections_needed
from redis import Redis

from gopher.config.settings import Settings
from tests.helpers import wait_until

#: Seconds within which a scheduler has done everything once, but for sweeping files.
A_WHILE = 4.0


def test_a_scheduler_has_as_many_connections_as_doctor_counts(own_server, own_client, start_scheduler):
    start_scheduler(own_client)
    wait_until(lambda: own_client.inspector.schedulers() == 1)
    needed = connections_needed(own_client, Settings())["schedulers"]
    own_client.close()
    with Redis.from_url(own_server.url) as direct:

        def connections():
            # One is that which asks.
            return direct.info("clients")["connected_clients"] - 1

        wait_until(lambda: connections() == needed)
        until = time.monotonic() + A_WHILE
        most = needed
        while time.monotonic() < until:
            most = max(most, connections())
        # One may be opened again just now.
        wait_until(lambda: connections() == needed)
        assert most == needed
