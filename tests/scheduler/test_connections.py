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
            return {each["id"] for each in direct.client_list()} - {str(direct.client_id())}

        wait_until(lambda: len(connections()) == needed)
        until, seen, most = time.monotonic() + A_WHILE, set(), set()
        while time.monotonic() < until:
            # One that is opened in place of another one is not there for long beside it.
            before, seen = seen, connections()
            most = max(most, before & seen, key=len)
            time.sleep(0.05)
    assert len(most) == needed
